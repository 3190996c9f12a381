"""The write-back: profile updates from the outbox or a CSV file to the API."""
