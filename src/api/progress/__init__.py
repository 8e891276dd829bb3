"""What a customer may see without any credential: how its matters stand, behind a link that was sent to it."""
