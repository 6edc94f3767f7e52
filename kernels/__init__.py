"""Single operations with one contract and several implementations; nothing here imports the rest of Verax."""
