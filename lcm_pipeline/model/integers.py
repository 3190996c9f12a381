"""The bound of whole numbers, for modules that must not wait for larger imports."""

# Of 64 bits, as in the service and in Postgres.
LARGEST_INTEGER = 2**63 - 1
