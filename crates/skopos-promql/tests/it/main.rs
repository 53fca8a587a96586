//! Tests of the language through the crate's outermost boundary.

mod counted;
mod evaluate;
mod fuzz;
mod guide;
mod limits;
mod naive;
mod natives;
mod parse;
mod planner;
mod random;
mod scripts;
mod steps;
