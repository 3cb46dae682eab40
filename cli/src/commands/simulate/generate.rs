//! The scans themselves, made ahead by a thread of their own: fresh noise on cached clean scans, straight into the
//! buffer that is sent.

use std::num::NonZero;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::mpsc::{self as threads, Receiver, Sender};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use ovomesh_api::pb::scan::v1::Encoding;
use ovomesh_phantom::{Library, Scanner, rng, seed_of};
use tokio::sync::mpsc;

use super::content::ScanContent;
use super::draws::Draws;
use super::plan::Plan;

/// Scans that are ready ahead for one scanner: as many as may be due at once, but not fewer than cover a pause of the
/// generator, and not more than these bytes (a tray of 150 scans of 128 KiB).
const AHEAD: RangeInclusive<usize> = 16..=150;
/// See [`AHEAD`].
const AHEAD_BYTES: usize = 20 << 20;
/// Compression level for ZSTD: noise does not shrink much, so the cheapest.
const LEVEL: i32 = 1;

/// A scan that is ready.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) n: u32,
    pub(crate) samples: Bytes,
    pub(crate) crc32c: u32,
}

/// One scanner's end: takes scans in the order of the plan.
#[derive(Debug)]
pub(crate) struct Supply {
    made: mpsc::Receiver<Made>,
    scanner: usize,
    took: Sender<usize>,
}

impl Supply {
    /// The next scan. `None` when all were taken. Nothing is lost when the wait is given up.
    pub(crate) async fn next(&mut self) -> Option<Made> {
        let made = self.made.recv().await?;
        // A generator that has made everything no longer listens.
        let _ = self.took.send(self.scanner);
        Some(made)
    }
}

/// What the generator cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) scans: u64,
    pub(crate) cpu: Option<Duration>,
}

/// The generator's thread. It ends when all is made or all supplies are gone.
pub(crate) struct Generator(std::thread::JoinHandle<Cost>);

impl Generator {
    /// Starts to make the scans of `plan`, and returns a supply for each scanner. `at_once`: scans of one scanner that
    /// are due together.
    pub(crate) fn start(
        plan: Arc<Plan>,
        content: Arc<ScanContent>,
        library: Arc<Library>,
        scanner: Scanner,
        scanners: NonZero<u32>,
        at_once: usize,
    ) -> anyhow::Result<(Self, Vec<Supply>)> {
        let most =
            at_once.clamp(*AHEAD.start(), *AHEAD.end()).min(AHEAD_BYTES / content.grid.bytes().max(1)).max(1);
        let (took, taken) = threads::channel();
        let (to, supplies): (Vec<_>, Vec<_>) = (0..scanners.get() as usize)
            .map(|scanner| {
                let (to, made) = mpsc::channel(most);
                (to, Supply { made, scanner, took: took.clone() })
            })
            .unzip();
        let maker = Maker { content, library, scanner };
        let work = move || make_all(&plan, &maker, &to, most, &taken);
        let thread = std::thread::Builder::new().name("generator".into()).spawn(work);
        Ok((Self(thread.context("starting the generator's thread")?), supplies))
    }

    /// Waits for the end, which follows at once when the supplies are gone.
    pub(crate) fn cost(self) -> Cost {
        self.0.join().unwrap_or_default()
    }
}

/// Makes scans for the scanner whose next send is the earliest among those with room.
fn make_all(
    plan: &Plan,
    maker: &Maker,
    to: &[mpsc::Sender<Made>],
    most: usize,
    taken: &Receiver<usize>,
) -> Cost {
    let mut left: Vec<std::vec::IntoIter<u32>> =
        of_scanner(plan, to.len()).into_iter().map(Vec::into_iter).collect();
    let mut room = vec![most; to.len()];
    let mut scans = 0;
    loop {
        for scanner in taken.try_iter() {
            room[scanner] += 1;
        }
        let able = (0..to.len()).filter(|&s| room[s] > 0);
        let Some((n, scanner)) = able.filter_map(|s| Some((*left[s].as_slice().first()?, s))).min() else {
            if left.iter().all(|left| left.as_slice().is_empty()) {
                break;
            }
            let Ok(scanner) = taken.recv() else { break };
            room[scanner] += 1;
            continue;
        };
        left[scanner].next();
        room[scanner] -= 1;
        scans += 1;
        if to[scanner].try_send(maker.make(n)).is_err() {
            // Its scanner has left: it takes no more.
            left[scanner] = Vec::new().into_iter();
        }
    }
    Cost { scans, cpu: thread_cpu() }
}

fn of_scanner(plan: &Plan, scanners: usize) -> Vec<Vec<u32>> {
    let mut of = vec![Vec::new(); scanners];
    for (n, send) in (0u32..).zip(&plan.sends) {
        of[send.scanner as usize].push(n);
    }
    of
}

struct Maker {
    content: Arc<ScanContent>,
    library: Arc<Library>,
    scanner: Scanner,
}

impl Maker {
    /// Scan `n`: always the same bytes.
    fn make(&self, n: u32) -> Made {
        let (egg, _) = self.content.egg_of(n);
        let mut samples = vec![0; self.content.grid.bytes()];
        let mut noise = rng(seed_of(Draws::Noise.seed(self.content.seed), n.into()));
        self.library.acquire(egg as usize, &mut noise, &self.scanner, &mut samples);
        if self.content.encoding == Encoding::Zstd {
            samples =
                zstd::bulk::compress(&samples, LEVEL).expect("memory to memory, into a buffer that grows");
        }
        let crc32c = crc32c::crc32c(&samples);
        Made { n, samples: samples.into(), crc32c }
    }
}

/// CPU time of this thread: the first number of the kernel's own account, in nanoseconds.
fn thread_cpu() -> Option<Duration> {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    account.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use ovomesh_phantom::{Grid, Profile, Shares};

    use super::super::content::tests::content;
    use super::super::plan::{Arrivals, Load};
    use super::*;

    fn parts(scanners: u32) -> (Arc<Plan>, Arc<ScanContent>, Arc<Library>) {
        let load = Load {
            arrivals: Arrivals::Poisson,
            scanners,
            rate: 100.0,
            warmup: Duration::ZERO,
            seconds: Duration::from_secs(1),
            tray: 150,
            seed: 3,
        };
        let content = ScanContent { grid: Grid::STANDARD, ..content() };
        let one = NonZero::<usize>::MIN;
        let library = Library::generate(
            &Profile::nominal(),
            &content.grid,
            Shares::HATCHERY,
            content.classes.len(),
            7,
            one,
            |_| {},
        );
        (Arc::new(load.plan()), Arc::new(content), Arc::new(library))
    }

    #[tokio::test]
    async fn every_scanner_gets_its_scans_in_order_though_another_takes_none() {
        let (plan, content, library) = parts(3);
        let (generator, mut supplies) =
            Generator::start(plan.clone(), content, library, Scanner::default(), NonZero::new(3).unwrap(), 4)
                .unwrap();
        let idle = supplies.remove(0);
        for (scanner, mut supply) in (1..).zip(supplies) {
            let expected: Vec<u32> =
                (0..).zip(&plan.sends).filter(|(_, send)| send.scanner == scanner).map(|(n, _)| n).collect();
            let mut received = Vec::new();
            while let Some(made) = supply.next().await {
                assert_eq!(crc32c::crc32c(&made.samples), made.crc32c);
                received.push(made.n);
                if received.len() == expected.len() {
                    break;
                }
            }
            assert_eq!(received, expected);
        }
        drop(idle);
        let cost = generator.cost();
        let of_others = plan.sends.iter().filter(|send| send.scanner != 0).count() as u64;
        assert!(cost.scans > of_others && cost.scans <= plan.sends.len() as u64, "{cost:?}");
        assert!(cost.cpu.is_some_and(|cpu| cpu > Duration::ZERO));
    }

    #[test]
    fn a_scan_is_the_same_whenever_it_is_made_and_unlike_all_others() {
        let (_, content, library) = parts(1);
        let maker = Maker { content: content.clone(), library: library.clone(), scanner: Scanner::default() };
        assert_eq!(maker.make(5).samples, maker.make(5).samples);
        assert_ne!(maker.make(1).samples, maker.make(5).samples, "the same egg, other noise");
        let packed = Maker {
            content: Arc::new(ScanContent { encoding: Encoding::Zstd, ..(*content).clone() }),
            library,
            scanner: Scanner::default(),
        };
        let unpacked = zstd::bulk::decompress(&packed.make(5).samples, 131_072).unwrap();
        assert_eq!(unpacked, maker.make(5).samples);
    }
}
