//! What Linux says of a process in `/proc/PID/stat`, `status` and `schedstat` (proc(5)). Parsing only; reads no file.
//! `None` means that the text is not of that form, or that the process has no such figure (any more).

/// From `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    /// User and system time of the process so far, of all its threads, in clock ticks.
    pub(crate) own_ticks: u64,
    /// User and system time of all children that have ended and were waited for, in clock ticks.
    pub(crate) waited_children_ticks: u64,
}

impl Stat {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // The command's name may hold spaces and brackets; what follows its last bracket is numbers.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // proc(5) counts from 1 and the first two are gone: ppid is 4, utime 14, stime 15, cutime 16, cstime 17.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(field(4)?).ok()?,
            own_ticks: field(14)? + field(15)?,
            waited_children_ticks: field(16)? + field(17)?,
        })
    }
}

/// From `/proc/PID/schedstat`: how long the main thread could have run and no core was free, in seconds.
pub(crate) fn waited_for_a_core(schedstat: &str) -> Option<f64> {
    // Three numbers: time on a core, time waited for one (both in ns), and how often it ran.
    let nanoseconds: u64 = schedstat.split_whitespace().nth(1)?.parse().ok()?;
    Some(nanoseconds as f64 / 1e9)
}

/// The largest resident size so far, in bytes; `None` for a process that has ended.
pub(crate) fn peak_resident_bytes(status: &str) -> Option<u64> {
    bytes(status, "VmHWM")
}

/// What is resident now, in bytes; `None` for a process that has ended.
pub(crate) fn resident_bytes(status: &str) -> Option<u64> {
    bytes(status, "VmRSS")
}

fn bytes(status: &str, name: &str) -> Option<u64> {
    let kib: u64 = value(status, name)?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The value of `name: value` or `name<tab>: value` in `/proc/cpuinfo` and `/proc/meminfo`.
pub(crate) fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let text = "4242 (a) b (c) S 17 4242 4242 0 -1 4194560 100 200 0 0 11 12 313 14 20 0 1 0 999 1000 10";
        assert_eq!(Stat::parse(text), Some(Stat { parent: 17, own_ticks: 23, waited_children_ticks: 327 }));
        assert_eq!(Stat::parse("4242 (sh) S 17 4242"), None);
    }

    #[test]
    fn the_wait_for_a_core_is_the_second_number() {
        assert_eq!(waited_for_a_core("61000000 2500000000 1303\n"), Some(2.5));
        assert_eq!(waited_for_a_core(""), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn this_process_has_a_parent_and_a_peak() {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap();
        assert!(Stat::parse(&read("stat")).unwrap().parent > 0);
        assert!(peak_resident_bytes(&read("status")).unwrap() > 100_000);
    }

    #[test]
    fn a_zombie_has_no_peak() {
        assert_eq!(peak_resident_bytes("Name:\tx\nState:\tZ (zombie)\n"), None);
        assert_eq!(peak_resident_bytes("Name:\tx\nVmHWM:\t   12 kB\nVmRSS:\t 7 kB\n"), Some(12 * 1024));
        assert_eq!(resident_bytes("Name:\tx\nVmHWM:\t   12 kB\nVmRSS:\t 7 kB\n"), Some(7 * 1024));
    }

    #[test]
    fn values_are_found_by_their_whole_name() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2: GHz\n\nprocessor\t: 1\n";
        assert_eq!(value(text, "model name"), Some("A CPU @ 2: GHz"));
        assert_eq!(value(text, "model"), None);
    }
}
