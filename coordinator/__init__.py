"""The coordinator: rounds, aggregation, the ledger's one writer, and the operator's program."""
