//! Local providers: S3 servers (SeaweedFS) of this platform on loopback, to see archiving and restoring without an account.
//!
//! They are children as nats-server is one: an own process group, killed by the kernel when we are, started again when they end,
//! found by their record when a kernel that cannot do that left one behind. They protect from nothing that takes this
//! machine, and they do not sync what they acknowledge to the disk.

mod binary;
mod ports;
mod server;
mod supervisor;

pub use server::{LocalServer, LocalServerError, is_folder_of_one};
