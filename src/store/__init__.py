"""PostgreSQL: tables, journal, projections, queries, and the server itself where it is embedded. All SQL lives here."""
