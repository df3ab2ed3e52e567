//! The platform about itself.

pub mod alarm;
pub mod parked_item;
pub mod worker;
