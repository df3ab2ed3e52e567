//! Processes the benchmark starts: each is stopped by its own pid, at the latest when its value is dropped.

use crate::AnyError;
use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(mut command: Command) -> Result<Self, AnyError> {
        let program = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).spawn();
        Ok(Self(child.map_err(|error| format!("{} does not start: {error}", program.display()))?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// An error once it has ended.
    pub(crate) fn check(&mut self) -> Result<(), AnyError> {
        match self.0.try_wait()? {
            Some(status) => Err(format!("a started process has ended: {status}").into()),
            None => Ok(()),
        }
    }

    /// Asks it to stop and waits; kills it when it does not.
    pub(crate) fn stop(&mut self) {
        let end = Instant::now() + Duration::from_secs(20);
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw)
            && matches!(self.0.try_wait(), Ok(None))
        {
            _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > end {
                _ = self.0.kill();
                _ = self.0.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Resident bytes of a process.
pub(crate) fn resident(pid: u32) -> Result<u64, AnyError> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// Processor time a process has used.
pub(crate) fn processor_time(pid: u32) -> Result<Duration, AnyError> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name, in parentheses, may hold spaces.
    let (_, rest) = stat.rsplit_once(')').ok_or("no fields")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    // Linux shows a hundred ticks a second to all programs.
    Ok(Duration::from_millis((ticks(11) + ticks(12)) * 10))
}

pub(crate) fn free_port() -> Result<u16, AnyError> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until something listens.
pub(crate) fn wait_for(port: u16, process: &mut Process) -> Result<(), AnyError> {
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        process.check()?;
        if Instant::now() > end {
            return Err(format!("nothing listens on port {port}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A tool named by a variable, or by its name on the search path.
pub(crate) fn tool(variable: &str, name: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| name.into(), PathBuf::from)
}
