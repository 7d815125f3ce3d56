//! The kinds that are reconciled: what each gathers, what it performs, what wakes it.

pub mod orphans;
pub mod record;
pub mod routes;
pub mod ticket;
