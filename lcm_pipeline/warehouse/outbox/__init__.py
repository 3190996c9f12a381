"""Profile updates on their way to the API: waiting, claimed, finished, undone."""
