//! Prints what all rounds of one size came to.

use crate::frame::OVERHEAD_BYTES;
use crate::round::Outcome;

/// Median, least and most.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self { median: values[values.len() / 2], least: values[0], most: values[values.len() - 1] }
    }
}

/// One row per contender; ratios are medians of the ratios within a round.
pub(crate) fn print(size: usize, names: &[String], results: &[Vec<Outcome>]) {
    println!("\npayload {size} B, frame {} B", size + OVERHEAD_BYTES);
    println!(
        "  {:<10} {:>9} {:>17} {:>8} {:>8} {:>11} {:>15}",
        "", "M msg/s", "(range)", "/ raw", "/ hand", "CPU ns/msg", "(range)"
    );
    let baseline =
        |name: &str| names.iter().position(|known| known == name).map(|at| results[at].as_slice());
    for (name, rounds) in names.iter().zip(results) {
        let rate = Spread::of(rounds.iter().map(|round| round.rate / 1e6));
        let cpu = Spread::of(rounds.iter().map(|round| round.cpu_nanos));
        println!(
            "  {name:<10} {:>9.3} {:>17} {:>8} {:>8} {:>11.1} {:>15}",
            rate.median,
            format!("({:.2} - {:.2})", rate.least, rate.most),
            ratio(rounds, baseline("raw")),
            ratio(rounds, baseline("hand")),
            cpu.median,
            format!("({:.0} - {:.0})", cpu.least, cpu.most),
        );
    }
}

fn ratio(rounds: &[Outcome], baseline: Option<&[Outcome]>) -> String {
    baseline.map_or_else(String::new, |baseline| {
        let ratios = rounds.iter().zip(baseline).map(|(round, base)| round.rate / base.rate);
        format!("{:.2}", Spread::of(ratios).median)
    })
}
