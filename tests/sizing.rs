//! How many cells and nodes an installation needs, computed from what one event costs.
//!
//! `ops/bench --only scaling` measures [`Figures`] and prints [`table`]; `bench --size FILE` prints it again from figures that were
//! kept, so another machine, load or assumption is one line to change. `ops/docs/scaling.md` explains the figures.

use serde::{Deserialize, Serialize};

/// What one event costs, measured. Times are microseconds of one processor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Of the log, one copy.
    pub log_bytes: f64,
    /// Of the keys that the event's person needed, one copy.
    pub key_bytes: f64,
    /// Of one provider's archive, keys included.
    pub archive_bytes: f64,
    /// Rows that an event leaves.
    pub rows: f64,
    /// On the disk of a node of Cassandra, one copy.
    pub cluster_row_bytes: f64,
    /// In the folder of one machine.
    pub folder_row_bytes: f64,
    /// Of the index that each api process keeps.
    pub index_bytes: f64,
    /// An api process, until the command is acknowledged.
    pub command_us: f64,
    /// nats-server, one copy.
    pub log_us: f64,
    /// A projector process, for rows in a cluster.
    pub projecting_us: f64,
    /// A node of Cassandra, one copy.
    pub database_us: f64,
    /// Rows in a folder instead: projecting and storing.
    pub folder_us: f64,
    /// Each api process.
    pub index_us: f64,
    /// A list of fifty rows, at the API and at the database.
    pub list_us: f64,
    pub list_database_us: f64,
    /// The messages a second that one stream takes, in batches.
    pub stream_per_second: f64,
}

/// What is supposed of the installation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assumptions {
    /// Events a day of a usual tenant.
    pub events_a_tenant: f64,
    /// The busiest second against the day's average.
    pub peak: f64,
    /// Of processors, disks and streams no more than this part is planned for.
    pub fill: f64,
    /// Copies of the log and of rows, each on a node of its own.
    pub copies: f64,
    /// How long events and rows are kept.
    pub years: f64,
    /// Lists that are read for each event.
    pub lists: f64,
    /// Messages of the log and of the keys for each event.
    pub messages: f64,
    /// Of events, those that begin an aggregate and so a subject.
    pub new_subjects: f64,
    /// What nats-server keeps in memory for a subject.
    pub subject_bytes: f64,
    /// A node.
    pub processors: f64,
    pub memory_bytes: f64,
    pub disk_bytes: f64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            events_a_tenant: 1_000.0,
            peak: 5.0,
            fill: 0.5,
            copies: 3.0,
            years: 3.0,
            lists: 10.0,
            messages: 2.0,
            new_subjects: 0.3,
            subject_bytes: 200.0,
            processors: 8.0,
            memory_bytes: 32e9,
            disk_bytes: 4e12,
        }
    }
}

/// What an installation of so many events a day comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Size {
    pub events_a_day: f64,
    pub peak_per_second: f64,
    pub tenants: f64,
    pub cells: f64,
    pub tenants_a_cell: f64,
    /// What would need another cell first.
    pub bound: &'static str,
    pub nats: f64,
    pub api: f64,
    pub projectors: f64,
    pub workers: f64,
    pub scylla: f64,
    /// All copies, at the end of the years.
    pub log_bytes: f64,
    pub row_bytes: f64,
    /// Of each of two providers.
    pub archive_bytes: f64,
}

/// What one cell can carry: events a second at its peak, and events altogether.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellLimits {
    /// The stream's messages.
    pub stream_per_second: f64,
    /// One lane carries the views of a cell, on one processor.
    pub lane_per_second: f64,
    /// Each api process follows the whole cell into its index; no more than half of its share goes there.
    pub index_per_second: f64,
    /// Subjects in the memory of nats-server.
    pub subjects: f64,
    /// The log on one disk.
    pub stored: f64,
}

const DAYS: f64 = 365.0;
const DAY_SECONDS: f64 = 86_400.0;

impl CellLimits {
    pub fn of(figures: &Figures, assumed: &Assumptions) -> Self {
        let fill = assumed.fill;
        Self {
            stream_per_second: figures.stream_per_second * fill / assumed.messages,
            lane_per_second: 1e6 / figures.projecting_us * fill,
            index_per_second: 1e6 / figures.index_us * assumed.processors * fill / 2.0,
            subjects: assumed.memory_bytes * fill / assumed.subject_bytes / assumed.new_subjects,
            stored: assumed.disk_bytes * fill / (figures.log_bytes + figures.key_bytes),
        }
    }
}

/// Whole nodes for this share of one, at least so many.
fn nodes(share: f64, least: f64) -> f64 {
    share.ceil().max(least)
}

/// The size of an installation.
pub fn size(figures: &Figures, assumed: &Assumptions, events_a_day: f64) -> Size {
    let peak = events_a_day / DAY_SECONDS * assumed.peak;
    let kept = events_a_day * DAYS * assumed.years;
    let limits = CellLimits::of(figures, assumed);
    let bounds = [
        ("messages of the stream", peak / limits.stream_per_second),
        ("the lane of the views", peak / limits.lane_per_second),
        ("the index", peak / limits.index_per_second),
        ("subjects in memory", kept / limits.subjects),
        ("the log's disk", kept / limits.stored),
    ];
    let (bound, share) = bounds.into_iter().max_by(|(_, one), (_, other)| one.total_cmp(other)).unwrap_or(("", 0.0));
    let cells = nodes(share, 1.0);
    let tenants = (events_a_day / assumed.events_a_tenant).max(1.0);
    // Processors that are busy at the peak, in nodes.
    let busy = |microseconds: f64| peak * microseconds / 1e6 / (assumed.processors * assumed.fill);
    let disks = |bytes: f64| bytes / (assumed.disk_bytes * assumed.fill);
    let memory = kept * assumed.new_subjects * assumed.subject_bytes / (assumed.memory_bytes * assumed.fill);
    let log_bytes = kept * (figures.log_bytes + figures.key_bytes) * assumed.copies;
    let row_bytes = kept * figures.rows * figures.cluster_row_bytes * assumed.copies;
    let nats = (busy(figures.log_us) * assumed.copies).max(disks(log_bytes)).max(memory * assumed.copies);
    let database = figures.database_us * assumed.copies + figures.list_database_us * assumed.lists;
    // Of each cell's api processes, all of which follow it into an index of their own.
    let follows = busy(figures.index_us) / cells;
    let asked = busy(figures.command_us + figures.list_us * assumed.lists) / cells;
    Size {
        events_a_day,
        peak_per_second: peak,
        tenants,
        cells,
        tenants_a_cell: (tenants / cells).floor().max(1.0),
        bound,
        nats: nodes(nats, assumed.copies),
        api: cells * nodes(asked / (1.0 - follows).max(0.05), 2.0),
        // One carries a cell's views and another waits for its turn; a processor is enough for one.
        projectors: nodes(cells * 2.0 / assumed.processors, 2.0),
        workers: nodes(cells * 2.0 / assumed.processors, 2.0),
        scylla: nodes(busy(database).max(disks(row_bytes)), assumed.copies),
        log_bytes,
        row_bytes,
        archive_bytes: kept * figures.archive_bytes,
    }
}

/// The table of `ops/docs/scaling.md`, for ten thousand, a million and a hundred million events a day.
pub fn table(figures: &Figures, assumed: &Assumptions) -> String {
    let sizes = [1e4, 1e6, 1e8].map(|events| size(figures, assumed, events));
    let row = |name: &str, of: &dyn Fn(&Size) -> String| {
        let cells: Vec<String> = sizes.iter().map(of).collect();
        format!("| {name} | {} |\n", cells.join(" | "))
    };
    let mut out = row("events a day", &|size| count(size.events_a_day));
    out.push_str("|---|---|---|---|\n");
    out.push_str(&row("at the peak, a second", &|size| count(size.peak_per_second)));
    out.push_str(&row("tenants", &|size| count(size.tenants)));
    out.push_str(&row("cells", &|size| count(size.cells)));
    out.push_str(&row("tenants a cell", &|size| count(size.tenants_a_cell)));
    out.push_str(&row("what moves first", &|size| size.bound.to_owned()));
    out.push_str(&row("NATS nodes", &|size| count(size.nats)));
    out.push_str(&row("api nodes", &|size| count(size.api)));
    out.push_str(&row("projector nodes", &|size| count(size.projectors)));
    out.push_str(&row("worker nodes", &|size| count(size.workers)));
    out.push_str(&row("Scylla nodes", &|size| count(size.scylla)));
    out.push_str(&row("log, all copies", &|size| bytes(size.log_bytes)));
    out.push_str(&row("rows, all copies", &|size| bytes(size.row_bytes)));
    out.push_str(&row("archive, each provider", &|size| bytes(size.archive_bytes)));
    let limits = CellLimits::of(figures, assumed);
    out.push_str("\n| one cell carries | |\n|---|---|\n");
    for (name, limit) in [
        ("events/s by messages of its stream", limits.stream_per_second),
        ("events/s by the lane of its views", limits.lane_per_second),
        ("events/s by the index of each api process", limits.index_per_second),
        ("events by subjects in the memory of nats-server", limits.subjects),
        ("events by the log on one disk", limits.stored),
    ] {
        out.push_str(&format!("| {name} | {} |\n", count(limit)));
    }
    out
}

/// Two digits that count, and thousands apart.
fn count(value: f64) -> String {
    if value < 10.0 && value.fract() > 0.0 {
        return format!("{value:.1}");
    }
    let rounded = match value {
        value if value < 1_000.0 => value.round(),
        value => {
            let unit = 10f64.powf(value.log10().floor() - 1.0);
            (value / unit).round() * unit
        }
    };
    let digits = format!("{rounded:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn bytes(value: f64) -> String {
    let (unit, name) = match value {
        value if value >= 1e12 => (1e12, "TB"),
        value if value >= 1e9 => (1e9, "GB"),
        _ => (1e6, "MB"),
    };
    format!("{:.*} {name}", usize::from(value / unit < 10.0), value / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Round numbers, so that the results can be computed in the head.
    fn figures() -> Figures {
        Figures {
            log_bytes: 800.0,
            key_bytes: 200.0,
            archive_bytes: 500.0,
            rows: 3.0,
            cluster_row_bytes: 200.0,
            folder_row_bytes: 300.0,
            index_bytes: 500.0,
            command_us: 200.0,
            log_us: 100.0,
            projecting_us: 100.0,
            database_us: 200.0,
            folder_us: 60.0,
            index_us: 100.0,
            list_us: 400.0,
            list_database_us: 600.0,
            stream_per_second: 20_000.0,
        }
    }

    #[test]
    fn the_smallest_installation_has_what_the_loss_of_a_node_asks_for() {
        let size = size(&figures(), &Assumptions::default(), 1e4);
        assert_eq!((size.cells, size.tenants, size.tenants_a_cell), (1.0, 10.0, 10.0));
        assert_eq!((size.nats, size.api, size.projectors, size.workers, size.scylla), (3.0, 2.0, 2.0, 2.0, 3.0));
        // 10,000 · 365 · 3 events of 1,000 bytes, three copies.
        assert_eq!(size.log_bytes, 1e4 * 365.0 * 3.0 * 1_000.0 * 3.0);
        assert_eq!(size.row_bytes, 1e4 * 365.0 * 3.0 * 600.0 * 3.0);
    }

    #[test]
    fn what_one_cell_carries_follows_from_each_part() {
        let limits = CellLimits::of(&figures(), &Assumptions::default());
        assert_eq!(limits.stream_per_second, 5_000.0, "half of 20,000 messages, two an event");
        assert_eq!(limits.lane_per_second, 5_000.0, "half of a processor at 100 µs");
        assert_eq!(limits.index_per_second, 20_000.0, "a quarter of eight processors at 100 µs");
        assert!((limits.subjects - 16e9 / 60.0).abs() < 1.0, "sixteen GB at 0.3 · 200 bytes");
        assert_eq!(limits.stored, 2e9);
    }

    #[test]
    fn a_hundred_million_events_a_day_are_cut_by_what_is_exceeded_first() {
        let (figures, assumed) = (figures(), Assumptions::default());
        let size = size(&figures, &assumed, 1e8);
        // 5,787 events a second, but 1.1·10^11 events: 6.6 TB of subjects in sixteen GB each.
        assert_eq!(size.bound, "subjects in memory");
        assert_eq!(size.cells, (1e8 * 1_095.0 * 0.3 * 200.0 / 16e9_f64).ceil());
        assert!(size.cells * size.tenants_a_cell <= size.tenants);
        // Rows: 1.095·10^11 · 600 · 3 bytes on two TB a node.
        assert_eq!(size.scylla, (1.095e11 * 1_800.0 / 2e12_f64).ceil());
        let more_memory = Assumptions { memory_bytes: 1e15, disk_bytes: 1e18, ..assumed };
        let by_rate = super::size(&figures, &more_memory, 1e8);
        assert_eq!((by_rate.bound, by_rate.cells), ("the lane of the views", 2.0));
    }

    #[test]
    fn more_events_never_need_less() {
        let (figures, assumed) = (figures(), Assumptions::default());
        let sizes: Vec<Size> = (3..10).map(|power| size(&figures, &assumed, 10f64.powi(power))).collect();
        for pair in sizes.windows(2) {
            let all = |size: &Size| [size.cells, size.nats, size.api, size.projectors, size.workers, size.scylla];
            assert!(all(&pair[0]).iter().zip(all(&pair[1])).all(|(less, more)| *less <= more), "{pair:?}");
        }
    }

    #[test]
    fn the_table_has_a_column_for_each_size_and_readable_numbers() {
        let table = table(&figures(), &Assumptions::default());
        assert!(
            table.starts_with("| events a day | 10,000 | 1,000,000 | 100,000,000 |\n|---|---|---|---|\n"),
            "{table}"
        );
        assert!(table.lines().take(15).all(|line| line.matches('|').count() == 5), "{table}");
        assert_eq!([0.58, 57.87, 5_787.0, 1_234_567.0].map(count), ["0.6", "58", "5,800", "1,200,000"]);
        assert_eq!([3.2e13, 9.9e9, 5e5].map(bytes), ["32 TB", "9.9 GB", "0.5 MB"]);
    }
}
