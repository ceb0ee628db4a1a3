//! The process's own metrics, under the names that every Prometheus client uses.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet},
    metrics::MetricType,
};
use rustix::time::{ClockId, clock_gettime};

use crate::clock::Moment;

/// Reads `/proc` at scrape time. Values that cannot be read, for example in a hardened service, are absent.
#[derive(Debug)]
pub(super) struct Process {
    started: Moment,
}

impl Process {
    pub(super) fn started(started: Moment) -> Self {
        Self { started }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encoder
            .encode_descriptor(
                "process_cpu_seconds",
                "Processor time used, in seconds.",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, u64>(&cpu_seconds(), None)?;
        let started = Some(self.started.wall.as_secs_f64());
        let gauges = [
            (
                "process_start_time_seconds",
                "When the process started, in seconds since the epoch.",
                started,
            ),
            (
                "process_resident_memory_bytes",
                "Resident memory in bytes.",
                resident_bytes(),
            ),
            ("process_open_fds", "Open files and sockets.", open_files()),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                gauge(&mut encoder, name, help, value)?;
            }
        }
        Ok(())
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    encoder
        .encode_descriptor(name, help, None, MetricType::Gauge)?
        .encode_gauge(&value)
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident_bytes() -> Option<f64> {
    resident_in(&fs::read_to_string("/proc/self/status").ok()?)
}

/// `/proc/self/status` has kibibytes, for any page size.
fn resident_in(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_files() -> Option<f64> {
    // One of them is the open folder itself.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().checked_sub(1)?;
    Some(open as f64)
}

#[cfg(test)]
mod tests {
    use super::resident_in;

    #[test]
    fn resident_memory_is_read_from_the_kernels_text() {
        assert_eq!(
            resident_in("VmPeak:\t  9000 kB\nVmRSS:\t    3072 kB\n"),
            Some(3_145_728.0)
        );
        assert_eq!(resident_in("VmPeak:\t  9000 kB\n"), None);
    }
}
