"""What users could have instead, each as good as it gets in an afternoon. They promise less than the service does."""
