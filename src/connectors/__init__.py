"""What other systems (a CRM, an order system) know of a customer: asked over HTTP, mapped, and kept for a while."""
