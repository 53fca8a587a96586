//! Reading log lines: a file that grows, a pipe.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _, SeekFrom};
use tokio::task::JoinHandle;

use crate::Error;
use crate::heard::Hearing;
use crate::line::Line;

/// Longest line that is kept whole.
const LINE_BYTES: usize = 64 << 10;
/// How much of what a file held before is read too.
const BEFORE_BYTES: u64 = 64 << 10;
/// How often a file is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Takes bytes, hands out lines.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
    /// The line is too long: what is left of it is passed over.
    is_over: bool,
}

impl Lines {
    fn take(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..end]);
            self.finish(each);
            bytes = &bytes[end + 1..];
        }
        self.add(bytes);
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES - self.rest.len();
        self.is_over |= bytes.len() > room;
        self.rest.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn finish(&mut self, each: &mut dyn FnMut(&str)) {
        let line = String::from_utf8_lossy(&self.rest).into_owned();
        // A line cut short is no JSON any more, which would be our doing: it is left out.
        if !line.trim().is_empty() && !self.is_over {
            each(line.trim_end());
        }
        self.rest.clear();
        self.is_over = false;
    }
}

/// Reads a pipe to its end; `each` sees every line before it is judged, and says whether it is to be.
pub(super) fn read_pipe<R: AsyncRead + Unpin + Send + 'static>(
    mut pipe: R,
    hearing: Hearing,
    mut each: impl FnMut(&str) -> bool + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = Lines::default();
        let mut buffer = vec![0; 16 << 10];
        // An error ends a pipe as its end does.
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            lines.take(&buffer[..count], &mut |text| {
                if each(text) {
                    hearing.change(|heard| heard.add_line(Line::parse(text)));
                }
            });
        }
        lines.finish(&mut |text| {
            if each(text) {
                hearing.change(|heard| heard.add_line(Line::parse(text)));
            }
        });
    })
}

/// Reads our standard input to its end, on a thread that nobody waits for: a pipe that stays open holds up no runtime.
pub(super) fn read_stdin(hearing: Hearing) {
    std::thread::spawn(move || {
        let mut lines = Lines::default();
        let mut buffer = vec![0; 16 << 10];
        let mut add = |text: &str| hearing.change(|heard| heard.add_line(Line::parse(text)));
        let mut input = std::io::stdin().lock();
        // An error ends a pipe as its end does.
        while let Ok(count @ 1..) = std::io::Read::read(&mut input, &mut buffer) {
            lines.take(&buffer[..count], &mut add);
        }
        lines.finish(&mut add);
    });
}

/// Reads a file from shortly before its end, and what is added to it.
pub(super) async fn follow(path: PathBuf, hearing: Hearing) -> Result<JoinHandle<()>, Error> {
    let failed = |source| Error::Io { what: format!("read {}", path.display()), source };
    let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
    let length = file.metadata().await.map_err(failed)?.len();
    let start = length.saturating_sub(BEFORE_BYTES);
    file.seek(SeekFrom::Start(start)).await.map_err(failed)?;
    let mut lines = Lines { is_over: start > 0, ..Lines::default() };
    Ok(tokio::spawn(async move {
        let mut buffer = vec![0; 16 << 10];
        // An error ends it: what was read stays.
        while let Ok(count) = file.read(&mut buffer).await {
            if count == 0 {
                tokio::time::sleep(POLL).await;
                continue;
            }
            lines.take(&buffer[..count], &mut |text| {
                hearing.change(|heard| heard.add_line(Line::parse(text)));
            });
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::{LINE_BYTES, Lines};

    #[test]
    fn lines_come_out_whole_however_the_bytes_come_in() {
        let text = "one\ntwo\r\n\n   \nthree";
        for step in 1..text.len() {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            for piece in text.as_bytes().chunks(step) {
                lines.take(piece, &mut |line| seen.push(line.to_owned()));
            }
            lines.finish(&mut |line| seen.push(line.to_owned()));
            assert_eq!(seen, ["one", "two", "three"], "pieces of {step}");
        }
    }

    #[test]
    fn a_line_without_end_costs_no_more_than_its_bound_and_is_left_out() {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for _ in 0..100 {
            lines.take(&[b'x'; LINE_BYTES], &mut |line| seen.push(line.to_owned()));
            assert!(lines.rest.len() <= LINE_BYTES);
        }
        lines.take(b"\nnext\n", &mut |line| seen.push(line.to_owned()));
        assert_eq!(seen, ["next"]);
    }
}
