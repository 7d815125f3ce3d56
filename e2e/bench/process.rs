//! What a process uses, from `/proc`.

use std::fmt;
use std::time::{Duration, Instant};

/// A process that has used next to nothing for so long is quiet.
pub const QUIET: Duration = Duration::from_secs(3);

/// CPU seconds in that time that count as nothing.
const NOTHING: f64 = 0.06;

/// Clock ticks a second, as Linux gives them to every program.
const TICKS: f64 = 100.0;

#[derive(Clone, Copy)]
pub struct Usage {
    /// Seconds of CPU since its start.
    pub cpu: f64,
    /// Resident memory, MB.
    pub resident: f64,
    /// The most it has had, MB.
    pub peak: f64,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} CPU seconds, {:.0} MB (peak {:.0})", self.cpu, self.resident, self.peak)
    }
}

pub fn usage(pid: u32) -> Usage {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is gone");
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let size = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
    };
    Usage { cpu: (ticks(11) + ticks(12)) / TICKS, resident: size("VmRSS"), peak: size("VmHWM") }
}

/// What it has used once it is quiet.
pub async fn settled(pid: u32) -> Usage {
    let mut last = (usage(pid), Instant::now());
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = usage(pid);
        if now.cpu - last.0.cpu > NOTHING {
            last = (now, Instant::now());
        }
        if last.1.elapsed() >= QUIET {
            return now;
        }
    }
}
