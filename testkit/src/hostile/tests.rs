//! Each mode does to a raw client what it says; an ordinary client sees it as what it is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Face, Hostile, Mode};
use crate::wait_until_true;

const SECONDS: Duration = Duration::from_secs(30);

fn ask(server: &Hostile, key: u8, version: u8) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(SECONDS)).unwrap();
    send(&mut stream, key, version);
    stream
}

/// A request with correlation id 7 and nothing else.
fn send(stream: &mut TcpStream, key: u8, version: u8) {
    stream.write_all(&[0, 0, 0, 8, 0, key, 0, version, 0, 0, 0, 7]).unwrap();
}

fn read<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn stranger(mode: Mode) -> (Hostile, TcpStream) {
    let server = Hostile::start(mode, Face::Stranger).unwrap();
    let stream = ask(&server, 18, 3);
    (server, stream)
}

#[test]
fn lengths_and_ids_lie_as_their_modes_say() {
    let (_server, mut stream) = stranger(Mode::HugeFrame);
    assert_eq!(i32::from_be_bytes(read(&mut stream)), i32::MAX);
    read::<100_000>(&mut stream);
    let (_server, mut stream) = stranger(Mode::EndlessAnswer);
    assert_eq!(read(&mut stream), [0x0f, 0xff, 0xff, 0xff, 0, 0, 0, 7]);
    read::<100_000>(&mut stream);
    let (_server, mut stream) = stranger(Mode::LargeNonsense);
    assert_eq!(read(&mut stream), [2, 0, 0, 0, 0, 0, 0, 7]);
    let mut rest = vec![0; (32 << 20) - 4];
    stream.read_exact(&mut rest).unwrap();
    let (_server, mut stream) = stranger(Mode::WrongCorrelation);
    read::<4>(&mut stream);
    assert_eq!(i32::from_be_bytes(read(&mut stream)), 8);
    let (_server, mut stream) = stranger(Mode::HugeArray);
    let length = i32::from_be_bytes(read(&mut stream));
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).unwrap();
    assert_eq!(body[..11], [0, 0, 0, 7, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
}

#[test]
fn the_early_one_closes_and_the_slow_one_drips() {
    let (_server, mut stream) = stranger(Mode::EarlyClose);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let (_server, mut stream) = stranger(Mode::SlowLoris);
    let start = Instant::now();
    read::<3>(&mut stream);
    assert!(start.elapsed() >= Duration::from_millis(1_900));
}

#[test]
fn with_a_brokers_face_it_greets_first() {
    let server = Hostile::start(Mode::EarlyClose, Face::Broker).unwrap();
    for version in [0, 3] {
        let mut stream = ask(&server, 18, version);
        let length = i32::from_be_bytes(read(&mut stream));
        let mut body = vec![0; length as usize];
        stream.read_exact(&mut body).unwrap();
        assert_eq!(body[..6], [0, 0, 0, 7, 0, 0]);
        send(&mut stream, 3, 12);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the second request is the last");
    }
    assert_eq!(server.accepted(), 2);
}

#[test]
fn a_dropped_server_is_gone() {
    let (server, mut stream) = stranger(Mode::RandomBytes);
    let address = server.address();
    read::<1_000>(&mut stream);
    drop(server);
    wait_until_true("the port to be free", SECONDS, || TcpStream::connect(&address).is_err());
}
