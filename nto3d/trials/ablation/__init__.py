"""The ablation: the same trainings with two kinds of fields, several seeds, as a table. Imports no torch."""
