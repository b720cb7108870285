-- Read by an order's id in a subquery, this view was read whole: SQLite compares what is outside of a UNION
-- only when it has all of it. `order::queries::claims` says the id in each half.
DROP VIEW claim;
