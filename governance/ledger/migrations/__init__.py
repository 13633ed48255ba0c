"""How the ledger's tables came to be what they are, a numbered step a change of them.

`env` and the scripts in `versions` are for Alembic to run; `governance.ledger.migrating` has it
do so. Whoever changes a table, a trigger or a view adds the next script; after the last one,
views and projections are made anew from what lies there. A script is never changed once a
version with it was released, and writes no entry anew.
"""
