//! Operating the platform: its workers, what they have given up, what needs a person.

pub mod alarms;
pub mod parked_items;
pub mod workers;
