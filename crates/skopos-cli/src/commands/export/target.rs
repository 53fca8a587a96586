//! Where rows go: NDJSON as it comes, Parquet row group by row group.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use reqwest::Response;
use skopos_sql::encode::ArrowReader;
use skopos_sql::plain::ParquetRows;

use crate::output::{Format, stdout_failed};

type Out = Box<dyn Write + Send>;

/// The file or standard output.
pub(super) struct Target {
    kind: Kind,
    /// The name it gets when it is whole, and the one it has until then.
    file: Option<(PathBuf, PathBuf)>,
    rows: u64,
}

enum Kind {
    Ndjson(Out),
    Parquet {
        /// Taken by the writer, once the columns are known.
        out: Option<Out>,
        writer: Option<Box<ParquetRows<Out>>>,
        reader: ArrowReader,
    },
}

impl Target {
    pub(super) fn new(path: Option<PathBuf>, format: Format) -> Result<Self> {
        let file = path.map(|path| {
            let mut part = path.clone().into_os_string();
            part.push(".part");
            (path, PathBuf::from(part))
        });
        let out: Out = match &file {
            None => Box::new(io::stdout()),
            Some((_, part)) => {
                let file =
                    File::create(part).with_context(|| format!("make {}", part.display()))?;
                Box::new(BufWriter::with_capacity(1 << 20, file))
            }
        };
        let kind = match format {
            Format::Parquet => {
                Kind::Parquet { out: Some(out), writer: None, reader: ArrowReader::new() }
            }
            _ => Kind::Ndjson(out),
        };
        Ok(Self { kind, file, rows: 0 })
    }

    /// What the server is asked for.
    pub(super) fn wire_format(&self) -> &'static str {
        match self.kind {
            Kind::Ndjson(_) => "ndjson",
            Kind::Parquet { .. } => "arrow",
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes what has arrived of an answer.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.kind {
            Kind::Ndjson(out) => {
                self.rows += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
                written(out.write_all(bytes))
            }
            Kind::Parquet { out, writer, reader } => {
                reader.feed(bytes);
                while let Some(batch) = reader.batch()? {
                    self.rows += batch.num_rows() as u64;
                    writer_of(out, writer, reader)?.rows(&batch)?;
                }
                Ok(())
            }
        }
    }

    /// Checks that an answer has come to its end.
    pub(super) fn end_of_slice(&mut self) -> Result<()> {
        if let Kind::Parquet { reader, .. } = &mut self.kind {
            reader.end()?;
            *reader = ArrowReader::new();
        }
        Ok(())
    }

    /// Ends the file and gives it its name. `columns` asks for an answer without rows, for when
    /// there were none.
    pub(super) async fn end<F: Future<Output = Result<Response>>>(
        self,
        columns: impl FnOnce() -> F,
    ) -> Result<u64> {
        match self.kind {
            Kind::Ndjson(mut out) => written(out.flush())?,
            Kind::Parquet { mut out, mut writer, mut reader } => {
                if writer.is_none() {
                    let empty = columns().await?.bytes().await.context("read the columns")?;
                    reader.feed(&empty);
                    while reader.batch()?.is_some() {}
                    writer_of(&mut out, &mut writer, &reader)?;
                }
                if let Some(writer) = writer {
                    writer.end()?;
                }
            }
        }
        if let Some((path, part)) = &self.file {
            rename(part, path)?;
        }
        Ok(self.rows)
    }
}

/// The reader of a pipe may have seen enough; files have no readers.
fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => stdout_failed(&error),
        result => result.context("write rows"),
    }
}

fn writer_of<'a>(
    out: &mut Option<Out>,
    writer: &'a mut Option<Box<ParquetRows<Out>>>,
    reader: &ArrowReader,
) -> Result<&'a mut ParquetRows<Out>> {
    if let Some(out) = out.take() {
        let schema = reader.schema().context("the answer has no columns")?;
        *writer = Some(Box::new(ParquetRows::new(out, schema)?));
    }
    writer.as_deref_mut().context("the file is broken")
}

fn rename(part: &Path, path: &Path) -> Result<()> {
    std::fs::rename(part, path)
        .with_context(|| format!("rename {} to {}", part.display(), path.display()))
}
