"""Names of the rules by which optimal prices are chosen."""

PRICES = ("any", "row_optimal", "column_optimal", "midpoint")
"""In the order of the compiled library's enumeration."""
