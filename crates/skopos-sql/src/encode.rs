//! Writes rows as JSON, CSV and Arrow, piece by piece.
//!
//! | value | JSON | CSV |
//! |---|---|---|
//! | NULL | `null` | nothing (empty text is `""`) |
//! | whole number | number; text beyond ±2^53, which JSON readers round | number |
//! | float | number; `"NaN"`, `"Infinity"`, `"-Infinity"` | the same without quotes |
//! | time | RFC 3339 text | the same |
//! | list, struct | list, object | their JSON |
//! | anything else | text | text |

mod json;
mod text;

pub use json::{JsonColumns, ndjson};
pub use text::{csv_header, csv_rows, type_name};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::StreamDecoder;
use datafusion::arrow::ipc::writer::StreamWriter;

use crate::error::SqlError;

/// Content type of an Arrow IPC stream.
pub const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";

fn broken(error: &ArrowError) -> SqlError {
    SqlError::Internal { message: format!("cannot write rows: {error}") }
}

/// Writes an Arrow IPC stream.
pub struct ArrowStream {
    writer: StreamWriter<Vec<u8>>,
}

impl ArrowStream {
    /// A stream of rows with these columns.
    pub fn new(schema: &Schema) -> Result<Self, SqlError> {
        let writer = StreamWriter::try_new(Vec::new(), schema).map_err(|e| broken(&e))?;
        Ok(Self { writer })
    }

    /// Adds rows; yields what is to be sent so far.
    pub fn rows(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, SqlError> {
        self.writer.write(batch).map_err(|e| broken(&e))?;
        Ok(std::mem::take(self.writer.get_mut()))
    }

    /// Ends the stream; yields what is left to be sent.
    pub fn end(mut self) -> Result<Vec<u8>, SqlError> {
        self.writer.finish().map_err(|e| broken(&e))?;
        Ok(std::mem::take(self.writer.get_mut()))
    }
}

/// Reads an Arrow IPC stream as it arrives.
#[derive(Default)]
pub struct ArrowReader {
    decoder: StreamDecoder,
    left: Buffer,
}

impl ArrowReader {
    /// A reader at the beginning of a stream.
    pub fn new() -> Self {
        Self { decoder: StreamDecoder::new(), left: Buffer::from(&[]) }
    }

    /// Adds bytes that have arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut whole = self.left.to_vec();
        whole.extend_from_slice(bytes);
        self.left = Buffer::from_vec(whole);
    }

    /// The next batch that is there as a whole.
    pub fn batch(&mut self) -> Result<Option<RecordBatch>, SqlError> {
        let broken = |e: ArrowError| SqlError::Execution {
            message: format!("the answer is no Arrow stream: {e}"),
            hint: None,
        };
        self.decoder.decode(&mut self.left).map_err(broken)
    }

    /// The columns, once they have arrived.
    pub fn schema(&self) -> Option<SchemaRef> {
        self.decoder.schema()
    }

    /// Checks that the stream has come to its end.
    pub fn end(&mut self) -> Result<(), SqlError> {
        self.decoder.finish().map_err(|e| SqlError::Execution {
            message: format!("the answer was cut off: {e}"),
            hint: Some("the server's log says why; run the query again".into()),
        })
    }
}
