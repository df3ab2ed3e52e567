//! How busy the machine was with other things than the measurement.

use std::{collections::HashMap, fs, time::Instant};

/// Ticks of `/proc` in a second; fixed by Linux for all programs.
const TICKS: f64 = 100.0;

/// A look at the machine's clocks.
pub(crate) struct Machine {
    at: Instant,
    /// Ticks all processors have worked, and ticks a hypervisor took away.
    busy: u64,
    stolen: u64,
    /// Ticks of this process and everything it started.
    own: u64,
    load: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let first = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = first.split_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
        let of = |index: usize| ticks.get(index).copied().unwrap_or(0);
        // user, nice, system, irq and softirq; not idle (3) and iowait (4).
        let busy = of(0) + of(1) + of(2) + of(5) + of(6);
        Self { at: Instant::now(), busy, stolen: of(7), own: own_ticks(), load: load_average() }
    }

    /// Processors that others kept busy on average since this look.
    pub(crate) fn others_since(&self) -> f64 {
        let now = Self::look();
        let ticks = (now.at - self.at).as_secs_f64() * TICKS;
        let own = now.own.saturating_sub(self.own);
        (now.busy - self.busy).saturating_sub(own) as f64 / ticks.max(1.0)
    }

    /// One sentence about the time since this look.
    pub(crate) fn sentence(&self) -> String {
        let now = Self::look();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let ticks = (now.at - self.at).as_secs_f64() * TICKS;
        let stolen = (now.stolen - self.stolen) as f64 / ticks.max(1.0);
        format!(
            "{processors} processors; other processes kept {:.2} of them busy, a hypervisor took {stolen:.2}; load average {} before, {} after; {:.0} s",
            self.others_since(),
            self.load,
            now.load,
            ticks / TICKS
        )
    }
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

/// Ticks of the living descendants of this process and itself, with those of children that have ended.
fn own_ticks() -> u64 {
    let mut processes: HashMap<u32, (u32, u64)> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The command's name, in parentheses, may hold spaces.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let parent = u32::try_from(number(1)).unwrap_or(0);
        processes.insert(pid, (parent, number(11) + number(12) + number(13) + number(14)));
    }
    let me = std::process::id();
    let is_ours = |pid: u32| {
        let mut at = pid;
        while at != me {
            match processes.get(&at) {
                Some((parent, _)) if *parent != 0 => at = *parent,
                _ => return false,
            }
        }
        true
    };
    processes.iter().filter(|(pid, _)| is_ours(**pid)).map(|(_, (_, ticks))| ticks).sum()
}
