//! Tests of SQL through its engine, over stores on a faulty disk in memory.

mod budget;
mod data;
mod plain;
mod property;
mod scripts;
