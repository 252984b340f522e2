//! The rules against a model: whatever order pushes, writes, their outcomes and closing come in,
//! bytes keep their order, none is lost or doubled, and nobody sleeps while there is work.

use std::io::ErrorKind;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What a write comes to.
#[derive(Debug, Clone, Copy)]
enum Came {
    /// This share of what was given, in sixteenths, at least a byte.
    Part(usize),
    All,
    Blocked,
    Interrupted,
    Broken,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Push {
        bytes: usize,
        share: Share,
    },
    /// The pushing thread or writer task that writes comes back.
    EndWrite(Came),
    /// The writer task runs, if it is awake.
    RunWriter,
    /// The socket takes more.
    Writable,
    Close,
    Abort,
}

fn any_step() -> impl Strategy<Value = Step> {
    let came = prop_oneof![
        3 => (0..16usize).prop_map(Came::Part),
        5 => Just(Came::All),
        3 => Just(Came::Blocked),
        1 => Just(Came::Interrupted),
    ];
    let share = prop_oneof![4 => Just(Share::Messages), 1 => Just(Share::Control)];
    prop_oneof![
        40 => (0..60usize, share).prop_map(|(bytes, share)| Step::Push { bytes, share }),
        30 => came.prop_map(Step::EndWrite),
        30 => Just(Step::RunWriter),
        10 => Just(Step::Writable),
        1 => Just(Step::EndWrite(Came::Broken)),
        1 => Just(Step::Close),
        1 => Just(Step::Abort),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum WriterTask {
    Asleep,
    WaitsForSocket,
    Awake,
    Ended,
}

struct Model {
    buffer: Buffer<()>,
    pushed: Vec<u8>,
    written: Vec<u8>,
    writing: Option<(By, Batch)>,
    writer: WriterTask,
    next_frame: u8,
}

impl Model {
    fn new(gap: Duration) -> Self {
        let config = OutboxConfig {
            buffer_bytes: 200,
            control_bytes: 100,
            write_mark_bytes: 60,
            idle_gap: gap,
            ..OutboxConfig::default()
        };
        let mut buffer = Buffer::new(config);
        buffer.attach(Arc::new(()), Vec::new());
        Self {
            buffer,
            pushed: Vec::new(),
            written: Vec::new(),
            writing: None,
            writer: WriterTask::Awake,
            next_frame: 0,
        }
    }

    fn follow(&mut self, next: Next) {
        match next {
            Next::Nothing => {}
            Next::WakeWriter => {
                if self.writer != WriterTask::Ended {
                    self.writer = WriterTask::Awake;
                }
            }
            Next::WriteInPlace => {
                assert!(self.writing.is_none(), "two would write at once");
                if let Ok(Some(batch)) = self.buffer.begin(By::Pusher) {
                    self.writing = Some((By::Pusher, batch));
                }
            }
        }
    }

    fn push(&mut self, bytes: usize, share: Share) {
        if self.buffer.check(share).is_err() {
            return;
        }
        let mut frame = u32::try_from(bytes).unwrap().to_be_bytes().to_vec();
        self.next_frame = self.next_frame.wrapping_add(1);
        frame.resize(frame.len() + bytes, self.next_frame);
        let (next, _) =
            self.buffer.append(share, Instant::now, |out| out.extend_from_slice(&frame)).unwrap();
        self.pushed.extend_from_slice(&frame);
        self.follow(next);
    }

    fn end_write(&mut self, came: Came) {
        let Some((by, batch)) = self.writing.take() else { return };
        let rest = batch.rest();
        assert!(!rest.is_empty(), "a write of nothing");
        let result = match came {
            Came::Part(sixteenths) => Ok((rest.len() * sixteenths / 16).max(1)),
            Came::All => Ok(rest.len()),
            Came::Blocked => Err(ErrorKind::WouldBlock.into()),
            Came::Interrupted => Err(ErrorKind::Interrupted.into()),
            Came::Broken => Err(ErrorKind::ConnectionReset.into()),
        };
        if let Ok(written) = result {
            self.written.extend_from_slice(&rest[..written]);
        }
        let next = self.buffer.end(by, batch, result, Instant::now());
        if by == By::Writer && matches!(came, Came::Blocked) {
            self.writer = WriterTask::WaitsForSocket;
        }
        self.follow(next);
    }

    fn run_writer(&mut self) {
        // While it writes it does nothing else.
        if self.writer != WriterTask::Awake || matches!(self.writing, Some((By::Writer, _))) {
            return;
        }
        match self.buffer.begin(By::Writer) {
            Ok(Some(batch)) => self.writing = Some((By::Writer, batch)),
            Ok(None) => self.writer = WriterTask::Asleep,
            Err(_) => self.writer = WriterTask::Ended,
        }
    }

    fn set_phase(&mut self, phase: Phase) {
        self.buffer.set_phase(phase);
        // The shell notifies the writer task whenever it sets a phase.
        self.follow(Next::WakeWriter);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push { bytes, share } => self.push(bytes, share),
            Step::EndWrite(came) => self.end_write(came),
            Step::RunWriter => self.run_writer(),
            Step::Writable if self.writer == WriterTask::WaitsForSocket => {
                self.writer = WriterTask::Awake;
            }
            Step::Writable => {}
            Step::Close => self.set_phase(Phase::Closing),
            Step::Abort => self.set_phase(Phase::Aborting(CloseReason::Aborted)),
        }
        self.check();
    }

    fn check(&self) {
        let in_flight = self.pushed.len() - self.written.len();
        assert_eq!(self.buffer.buffered(), in_flight);
        assert!(self.pushed.starts_with(&self.written), "bytes came out in another order");
        // One frame of up to 64 bytes may overshoot each share; while a write runs, that of control
        // frames is as large as the other.
        assert!(in_flight < 200 + 64 + 200 + 64, "more waits than may: {in_flight}");
        let work = in_flight > 0 || !matches!(self.buffer.phase, Phase::Open);
        if work && self.writing.is_none() {
            assert_ne!(self.writer, WriterTask::Asleep, "nobody would ever write the rest");
        }
    }

    /// Lets everything run on, with a socket that takes all.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.step(Step::EndWrite(Came::All));
            self.step(Step::Writable);
            self.step(Step::RunWriter);
        }
    }
}

proptest! {
    #[test]
    fn bytes_keep_their_order_and_nobody_sleeps_over_work(
        eager in any::<bool>(), steps in vec(any_step(), 1..120),
    ) {
        let gap = if eager { Duration::ZERO } else { Duration::from_secs(3600) };
        let mut model = Model::new(gap);
        for step in steps {
            model.step(step);
        }
        // A clean close writes all; any other end hands the rest back.
        model.set_phase(Phase::Closing);
        model.settle();
        prop_assert_eq!(model.writer, WriterTask::Ended);
        let unwritten = model.buffer.take_unwritten();
        if unwritten.is_empty() {
            prop_assert_eq!(model.written, model.pushed);
        } else {
            let rest = &model.pushed[model.pushed.len() - unwritten.bytes()..];
            let bodies: Vec<u8> = unwritten
                .bodies()
                .flat_map(|body| [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat())
                .collect();
            prop_assert_eq!(rest, bodies);
            prop_assert!(model.pushed.len() - unwritten.bytes() <= model.written.len());
        }
    }
}

#[test]
fn a_task_pays_for_its_turn_by_bytes_and_for_lone_writes() {
    let mut buffer = Buffer::<()>::new(OutboxConfig::default());
    let frame = [[0, 0, 0x0f, 0xfc].as_slice(), &[0; 0xffc]].concat();
    let mut pays = || {
        let push =
            buffer.append(Share::Messages, Instant::now, |out| out.extend_from_slice(&frame));
        push.unwrap().1
    };
    let turns: Vec<_> = (0..64).map(|_| pays()).collect();
    let paid = turns.iter().filter(|turn| **turn == Turn::Pays).count();
    assert_eq!(paid * TURN_BYTES, 64 * frame.len());
}

#[test]
fn a_burst_is_freed_after_quiet_and_only_then() {
    let config = OutboxConfig { keep_bytes: 1000, ..OutboxConfig::default() };
    let mut buffer = Buffer::<()>::new(config);
    buffer.attach(Arc::new(()), Vec::new());
    let frame = [[0, 0, 0x0f, 0xfc].as_slice(), &[0; 0xffc]].concat();
    let push = buffer.append(Share::Messages, Instant::now, |out| out.extend_from_slice(&frame));
    assert_eq!(push.unwrap().0, Next::WriteInPlace);
    let batch = buffer.begin(By::Pusher).unwrap().unwrap();
    let next = buffer.end(By::Pusher, batch, Ok(frame.len()), Instant::now());
    // The writer task has to know, once.
    assert_eq!(next, Next::WakeWriter);
    assert!(buffer.begin(By::Writer).unwrap().is_none() && buffer.watch_burst());
    buffer.free_burst();
    assert!(!buffer.watch_burst());
}

#[test]
fn a_write_that_outlives_the_writer_task_changes_nothing() {
    let mut model = Model::new(Duration::ZERO);
    model.push(10, Share::Messages);
    let (by, batch) = model.writing.take().unwrap();
    let unwritten = model.buffer.take_unwritten();
    model.buffer.set_phase(Phase::Ended(CloseReason::Aborted));
    assert!(unwritten.is_empty(), "the bytes are with the thread that writes them");
    assert_eq!(model.buffer.end(by, batch, Ok(14), Instant::now()), Next::Nothing);
    assert_eq!(model.buffer.buffered(), 0);
}
