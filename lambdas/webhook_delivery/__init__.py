"""What webhooks are to be told, told: each minute, and at home every few seconds."""
