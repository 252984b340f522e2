//! What a competent user of tokio writes by hand: a channel to a writer task, TCP, a reader task, a
//! channel to the consumer; bounded, and batching where the libraries make it easy.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::Contender;
use crate::frame;
use crate::run::{Run, Tally, payload};

const CHANNEL_MESSAGES: usize = 1024;
const BATCH_MESSAGES: usize = 256;
const READ_BYTES: usize = 64 * 1024;

pub(crate) struct Hand;

impl Contender for Hand {
    fn name(&self) -> &'static str {
        "hand"
    }

    fn receive(&self, run: Run, mut tally: Tally, ready: fn(&str)) -> Tally {
        run.task(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            ready(&listener.local_addr().expect("it is bound").to_string());
            let (stream, _) = listener.accept().await.expect("the sender connects");
            let (sender, mut inbox) = mpsc::channel(CHANNEL_MESSAGES);
            tokio::spawn(read(stream, sender));

            let mut batch = Vec::with_capacity(BATCH_MESSAGES);
            loop {
                let received = inbox.recv_many(&mut batch, BATCH_MESSAGES).await;
                assert!(received > 0, "the sender stopped early");
                for body in batch.drain(..) {
                    if tally.verify(frame::payload_of(&body)) {
                        return tally;
                    }
                }
            }
        })
    }

    fn send(&self, run: Run, mut tally: Tally, address: &str) -> Tally {
        let address = address.to_owned();
        run.clone().task(async move {
            let stream = TcpStream::connect(&address).await.expect("the receiver listens");
            stream.set_nodelay(true).expect("a socket has the option");
            let (outbox, receiver) = mpsc::channel(CHANNEL_MESSAGES);
            let writer = tokio::spawn(write(stream, receiver));

            let mut payload = payload(&run);
            while let Some(sequence) = tally.next() {
                frame::stamp(&mut payload, sequence);
                let mut message = Vec::with_capacity(frame::OVERHEAD_BYTES + run.size);
                frame::append(&payload, &mut message);
                outbox.send(message).await.expect("the writer lives");
            }
            drop(outbox);
            writer.await.expect("the writer ends well");
            tally
        })
    }
}

async fn write(mut stream: TcpStream, mut outbox: mpsc::Receiver<Vec<u8>>) {
    let mut batch = Vec::with_capacity(BATCH_MESSAGES);
    let mut bytes = Vec::new();
    while outbox.recv_many(&mut batch, BATCH_MESSAGES).await > 0 {
        bytes.clear();
        for message in batch.drain(..) {
            bytes.extend_from_slice(&message);
        }
        stream.write_all(&bytes).await.expect("the receiver reads");
    }
}

async fn read(mut stream: TcpStream, inbox: mpsc::Sender<Bytes>) {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    loop {
        while let Some((header, rest)) = buffer.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*header) as usize;
            if rest.len() < length {
                break;
            }
            let frame = buffer.split_to(4 + length).freeze();
            if inbox.send(frame.slice(4..)).await.is_err() {
                return;
            }
        }
        buffer.reserve(READ_BYTES);
        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}
