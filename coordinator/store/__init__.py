"""The coordinator's database: its state and the ledger, one file, one transaction."""
