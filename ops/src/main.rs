#[allow(dead_code, reason = "wired into the command line in main")]
mod data_dir;
#[allow(dead_code, reason = "wired into the command line in main")]
mod doctor;
#[allow(dead_code, reason = "wired into the command line in main")]
mod nats;

fn main() {}
