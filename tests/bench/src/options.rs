//! What the command line says.

use crate::contender;

/// What to compare and for how long.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    /// About how long one round of one contender sends.
    pub(crate) millis: u64,
    /// Worker threads of each process that uses tokio.
    pub(crate) threads: usize,
    /// Payload sizes in bytes.
    pub(crate) sizes: Vec<usize>,
    pub(crate) contenders: Vec<String>,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            rounds: 7,
            millis: 400,
            threads: 2,
            sizes: vec![16, 128, 1024],
            contenders: contender::names(),
        };
        let mut arguments = arguments.iter();
        while let Some(key) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{key} needs a value"))?;
            match key.as_str() {
                "--rounds" => options.rounds = number(key, value)?,
                "--millis" => options.millis = number(key, value)?,
                "--threads" => options.threads = number(key, value)?,
                "--sizes" => {
                    options.sizes =
                        value.split(',').map(|size| number(key, size)).collect::<Result<_, _>>()?;
                }
                "--only" => options.contenders = value.split(',').map(str::to_owned).collect(),
                _ => {
                    return Err(format!(
                        "unknown option {key}: there are --rounds, --millis, --threads, --sizes, --only"
                    ));
                }
            }
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{key} wants a number, not {value:?}"))
}
