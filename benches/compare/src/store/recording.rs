//! A recording of Debian's `prometheus-node-exporter`: what it said at many real scrapes while the
//! machine did this and that. Made once, kept in the cache.
//!
//! Scrapes follow each other 100 to 200 ms apart; whoever plays them sets a clock beside them. The
//! file: a line that names the format, a line of JSON with the label sets, then for each series its
//! values in order, 8 bytes each, least significant first; absent ones are `ABSENT`.

use std::collections::HashMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use skopos_ingest::Limits;
use skopos_ingest::exposition::{ExpositionFormat, ExpositionOptions, parse};
use skopos_model::{Labels, SampleValue};

use crate::random::Random;

const MAGIC: &str = "skopos node-exporter recording 1";
/// A NaN that no target sends.
const ABSENT: u64 = 0x7ff8_dead_0000_0001;

pub struct Recording {
    pub labels: Vec<Labels>,
    /// By series; bits, because NaNs differ.
    values: Vec<Vec<u64>>,
    pub scrapes: usize,
}

impl Recording {
    /// The value of a series in a scrape.
    pub fn value(&self, series: usize, scrape: usize) -> Option<f64> {
        let bits = *self.values.get(series)?.get(scrape)?;
        (bits != ABSENT).then(|| f64::from_bits(bits))
    }

    /// The recording with at least so many scrapes, from the cache or made now.
    pub fn get(cache: &Path, scrapes: usize) -> Result<Self> {
        let path = cache.join("node-exporter.recording");
        if let Ok(found) = Self::read(&path) {
            if found.scrapes >= scrapes {
                eprintln!("recording: {} scrapes in {}", found.scrapes, path.display());
                return Ok(found);
            }
            eprintln!("recording: {} of {scrapes} scrapes: made anew", found.scrapes);
        }
        let made = Self::make(scrapes)?;
        made.write(&path)?;
        Ok(made)
    }

    fn make(scrapes: usize) -> Result<Self> {
        let exporter = Exporter::start()?;
        let load = Load::start()?;
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut made = Self { labels: Vec::new(), values: Vec::new(), scrapes: 0 };
        let limits = Limits::default();
        let mut random = Random::new(0x5c4a9e);
        for scrape in 0..scrapes {
            let next = Instant::now() + Duration::from_millis(100 + random.below(100));
            let text = exporter.scrape()?;
            let options = ExpositionOptions::new(ExpositionFormat::Text, 0, &limits);
            let found = parse(text.as_bytes(), &options).context("read a scrape")?;
            for series in found.batch.series {
                let Some(sample) = series.samples.first() else { continue };
                let SampleValue::Float(value) = &sample.value else { continue };
                let next_place = made.labels.len();
                let place = *places.entry(series.labels.clone()).or_insert(next_place);
                if place == next_place {
                    made.labels.push(series.labels);
                    made.values.push(vec![ABSENT; scrape]);
                }
                made.values[place].push(value.to_bits());
            }
            made.scrapes = scrape + 1;
            made.values.iter_mut().for_each(|values| values.resize(made.scrapes, ABSENT));
            if scrape % 500 == 0 {
                eprintln!("recording: scrape {scrape} of {scrapes}, {} series", made.labels.len());
            }
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        drop(load);
        Ok(made)
    }

    fn write(&self, path: &Path) -> Result<()> {
        let labels: Vec<Vec<(&str, &str)>> =
            self.labels.iter().map(|labels| labels.iter().collect()).collect();
        let head = serde_json::json!({"scrapes": self.scrapes, "labels": labels});
        let mut out = format!("{MAGIC}\n{head}\n").into_bytes();
        for values in &self.values {
            values.iter().for_each(|bits| out.extend_from_slice(&bits.to_le_bytes()));
        }
        // Renamed when whole, so that a run that ends early leaves nothing half.
        let unfinished = path.with_extension("unfinished");
        let mut file = std::fs::File::create(&unfinished).context("write the recording")?;
        file.write_all(&out).context("write the recording")?;
        std::fs::rename(&unfinished, path).context("name the recording")
    }

    fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
        if parts.next() != Some(MAGIC.as_bytes()) {
            bail!("{} is no recording of this version", path.display());
        }
        let head: serde_json::Value =
            serde_json::from_slice(parts.next().unwrap_or_default()).context("read the head")?;
        let scrapes = head["scrapes"].as_u64().context("scrapes")? as usize;
        let mut labels = Vec::new();
        for pairs in head["labels"].as_array().context("labels")? {
            let pairs: Vec<(String, String)> = serde_json::from_value(pairs.clone())?;
            labels.push(Labels::from_pairs(pairs));
        }
        let values = parts.next().unwrap_or_default();
        if values.len() != labels.len() * scrapes * 8 {
            bail!("{} has not the length that it says", path.display());
        }
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        let values = values
            .chunks_exact((scrapes * 8).max(1))
            .map(|of_series| of_series.chunks_exact(8).map(number).collect())
            .collect();
        Ok(Self { labels, values, scrapes })
    }
}

struct Exporter {
    child: Child,
    url: String,
    agent: ureq::Agent,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Exporter {
    fn start() -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new("prometheus-node-exporter");
        command.arg(format!("--web.listen-address={address}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command
            .spawn()
            .context("start prometheus-node-exporter (a Debian package of that name)")?;
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30)));
        let agent = ureq::Agent::new_with_config(config.proxy(None).build());
        let exporter = Self { child, url: format!("http://{address}/metrics"), agent };
        let began = Instant::now();
        while exporter.scrape().is_err() {
            if began.elapsed() > Duration::from_secs(30) {
                bail!("prometheus-node-exporter does not answer");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(exporter)
    }

    fn scrape(&self) -> Result<String> {
        let mut answer = self.agent.get(&self.url).call().context("scrape")?;
        answer.body_mut().with_config().limit(64 << 20).read_to_string().context("read a scrape")
    }
}

/// Work that makes the numbers move: processor, files, network, memory, in turns and with pauses.
struct Load {
    ends: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Load {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let ends = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let mut random = Random::new(0x10ad);
            while !is_over.load(Ordering::Relaxed) {
                let until = Instant::now() + Duration::from_millis(100 + random.below(900));
                // A failure here only makes the numbers move less.
                let _ = match random.below(4) {
                    0 => compute(until),
                    1 => write_files(folder.path(), until, &mut random),
                    2 => talk(&listener, until),
                    _ => hold_memory(until, &mut random),
                };
                std::thread::sleep(Duration::from_millis(200 + random.below(2_000)));
            }
        });
        Ok(Self { ends, thread: Some(thread) })
    }
}

fn compute(until: Instant) -> std::io::Result<()> {
    let mut x = 1_u64;
    while Instant::now() < until {
        for _ in 0..10_000 {
            x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
    Ok(())
}

fn write_files(folder: &Path, until: Instant, random: &mut Random) -> std::io::Result<()> {
    while Instant::now() < until {
        let path = folder.join(format!("file-{}", random.below(8)));
        let mut file = std::fs::File::create(&path)?;
        file.write_all(&vec![7; 1 + random.below(1 << 20) as usize])?;
        file.sync_data()?;
        std::thread::sleep(Duration::from_millis(random.below(60)));
    }
    Ok(())
}

fn talk(listener: &TcpListener, until: Instant) -> std::io::Result<()> {
    use std::io::Read;
    let mut buffer = vec![0; 16 << 10];
    while Instant::now() < until {
        let mut to = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (mut from, _) = listener.accept()?;
        for _ in 0..20 {
            to.write_all(&buffer)?;
            from.read_exact(&mut buffer)?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn hold_memory(until: Instant, random: &mut Random) -> std::io::Result<()> {
    let held = vec![1_u8; (16 << 20) + random.below(64 << 20) as usize];
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
    std::hint::black_box(held.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_comes_back_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.recording");
        let labels = ["a", "b"].map(|name| Labels::from_pairs([("__name__", name), ("x", "1\n")]));
        let values = vec![vec![1.5_f64.to_bits(), ABSENT], vec![ABSENT, f64::NAN.to_bits()]];
        let made = Recording { labels: labels.to_vec(), values, scrapes: 2 };
        made.write(&path).unwrap();
        let read = Recording::read(&path).unwrap();
        assert_eq!((&read.labels, read.scrapes), (&made.labels, 2));
        assert_eq!((read.value(0, 0), read.value(0, 1)), (Some(1.5), None));
        assert!(read.value(1, 1).is_some_and(f64::is_nan) && read.value(2, 0).is_none());
        std::fs::write(&path, "something else\n{}\n").unwrap();
        assert!(Recording::read(&path).is_err());
    }
}
