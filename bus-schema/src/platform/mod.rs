//! The platform about itself: its workers, what they gave up, what needs an operator.

pub mod alarm;
pub mod parked_item;
pub mod worker;
