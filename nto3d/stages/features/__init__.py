"""The feature field: learnt, compared, asked."""
