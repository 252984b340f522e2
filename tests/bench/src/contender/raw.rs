//! Blocking sockets, frames coalesced beforehand into writes of 64 KiB, walked in place by the
//! receiver: what the machine can do at all.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::Contender;
use crate::frame;
use crate::run::{Run, Tally, payload};

const WRITE_BYTES: usize = 64 * 1024;

pub(crate) struct Raw;

impl Contender for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn receive(&self, _run: Run, mut tally: Tally, ready: fn(&str)) -> Tally {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        ready(&listener.local_addr().expect("it is bound").to_string());
        let (mut stream, _) = listener.accept().expect("the sender connects");

        let mut buffer = vec![0; 4 * WRITE_BYTES];
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..]).expect("the sender lives");
            assert!(read > 0, "the sender stopped early");
            filled += read;
            let mut at = 0;
            while let Some((header, rest)) = buffer[at..filled].split_first_chunk::<4>()
                && let Some(body) = rest.get(..u32::from_be_bytes(*header) as usize)
            {
                if tally.verify(frame::payload_of(body)) {
                    return tally;
                }
                at += 4 + body.len();
            }
            buffer.copy_within(at..filled, 0);
            filled -= at;
        }
    }

    fn send(&self, run: Run, mut tally: Tally, address: &str) -> Tally {
        let mut stream = TcpStream::connect(address).expect("the receiver listens");
        stream.set_nodelay(true).expect("a socket has the option");
        // Whole frames of one template; only the sequence numbers change.
        let frame_bytes = frame::OVERHEAD_BYTES + run.size;
        let mut template = Vec::new();
        for _ in 0..(WRITE_BYTES / frame_bytes).max(1) {
            frame::append(&payload(&run), &mut template);
        }
        loop {
            for (index, frame) in template.chunks_mut(frame_bytes).enumerate() {
                let Some(sequence) = tally.next() else {
                    stream.write_all(&template[..index * frame_bytes]).expect("it reads");
                    return tally;
                };
                frame::stamp(&mut frame[frame::OVERHEAD_BYTES..], sequence);
            }
            stream.write_all(&template).expect("the receiver reads");
        }
    }
}
