//! The proxy before an echo server: what it promises of order, content, time and ends.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{Direction, Proxy};
use crate::wait_until_true;

const SECONDS: Duration = Duration::from_secs(30);

/// An address where everything comes back, until the end of the process.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = io::copy(&mut &stream, &mut &stream);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

fn before_echo() -> Proxy {
    Proxy::before(&echo()).unwrap()
}

fn client(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(SECONDS)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Not Kafka: passes as it is.
fn bytes(count: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..count).map(|_| random.u8(..)).collect()
}

/// Sends all, and returns what came back and how long it took.
fn there_and_back(stream: &TcpStream, sent: &[u8]) -> (Vec<u8>, Duration) {
    let start = Instant::now();
    let mut back = vec![0; sent.len()];
    thread::scope(|scope| {
        scope.spawn(|| (&mut &*stream).write_all(sent).unwrap());
        (&mut &*stream).read_exact(&mut back).unwrap();
    });
    (back, start.elapsed())
}

fn is_silent(stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let silent = (&mut &*stream)
        .read(&mut [0])
        .is_err_and(|cause| matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
    stream.set_read_timeout(Some(SECONDS)).unwrap();
    silent
}

#[test]
fn delay_and_held_segments_keep_order_and_content_and_cost_latency_only() {
    let proxy = before_echo();
    let stream = client(&proxy);
    let sent = bytes(8 << 20);
    assert_eq!(there_and_back(&stream, &sent).0, sent);
    // On a live connection. Two ways of 100 ms, and at least one segment held for 200 ms more.
    for direction in Direction::BOTH {
        proxy.delay(direction, Duration::from_millis(100));
    }
    let (back, took) = there_and_back(&stream, b"ping");
    assert_eq!(back, b"ping");
    assert!(took >= Duration::from_millis(200), "{took:?}");
    proxy.hold(Direction::ToServer, 100, Duration::from_millis(200));
    let (back, took) = there_and_back(&stream, &sent);
    assert!(back == sent, "order and content");
    assert!(took >= Duration::from_millis(400), "{took:?}");
    proxy.calm();
    assert_eq!(there_and_back(&stream, b"pong").0, b"pong");
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_throttle_holds_for_the_sum_of_all_connections() {
    let proxy = before_echo();
    let (one, two) = (client(&proxy), client(&proxy));
    proxy.throttle(Direction::ToClient, 400_000);
    let sent = bytes(100_000);
    let start = Instant::now();
    thread::scope(|scope| {
        for stream in [&one, &two] {
            scope.spawn(|| assert!(there_and_back(stream, &sent).0 == sent));
        }
    });
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(490), "{took:?}");
}

#[test]
fn a_cut_swallows_its_direction_only() {
    let proxy = before_echo();
    let stream = client(&proxy);
    there_and_back(&stream, b"up");
    proxy.cut(Direction::ToClient);
    let before = (proxy.bytes_to_server(), proxy.bytes_to_client());
    (&mut &stream).write_all(b"lost on the way back").unwrap();
    wait_until_true("the request to arrive", SECONDS, || proxy.bytes_to_server() == before.0 + 20);
    assert!(is_silent(&stream));
    assert_eq!(proxy.bytes_to_client(), before.1);
    // New connections are no better.
    let new = client(&proxy);
    (&mut &new).write_all(b"x").unwrap();
    wait_until_true("the new one's byte", SECONDS, || proxy.bytes_to_server() == before.0 + 21);
    assert!(is_silent(&new));

    proxy.heal();
    proxy.cut(Direction::ToServer);
    let stream = client(&proxy);
    (&mut &stream).write_all(b"lost on the way there").unwrap();
    assert!(is_silent(&stream));
    assert_eq!(proxy.bytes_to_server(), before.0 + 21);
}

#[test]
fn a_black_hole_closes_nothing_and_healing_resets_what_was_in_it() {
    let proxy = before_echo();
    let old = client(&proxy);
    there_and_back(&old, b"up");
    proxy.cut_both();
    let new = client(&proxy);
    for stream in [&old, &new] {
        (&mut &*stream).write_all(b"into the void").unwrap();
        assert!(is_silent(stream), "neither bytes nor an end");
    }
    wait_until_true("both connections", SECONDS, || proxy.connections() == 2);
    proxy.heal();
    for stream in [&old, &new] {
        let end = (&mut &*stream).read(&mut [0]).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
    }
    assert_eq!(there_and_back(&client(&proxy), b"back").0, b"back");
}

#[test]
fn half_closed_to_the_client_is_an_end_to_it_and_the_other_way_goes_on() {
    let proxy = before_echo();
    let stream = client(&proxy);
    there_and_back(&stream, b"up");
    let before = proxy.bytes_to_server();
    proxy.half_close(Direction::ToClient);
    assert_eq!((&mut &stream).read(&mut [0]).unwrap(), 0);
    (&mut &stream).write_all(b"still heard").unwrap();
    wait_until_true("the other way", SECONDS, || proxy.bytes_to_server() == before + 11);
    drop(stream);
    wait_until_true("the end of both", SECONDS, || proxy.connections() == 0);

    let stream = client(&proxy);
    there_and_back(&stream, b"up");
    proxy.half_close(Direction::ToServer);
    // The echo's copy ends, and with it the way back.
    assert_eq!((&mut &stream).read(&mut [0]).unwrap(), 0);
}

#[test]
fn an_end_comes_behind_the_bytes_before_it() {
    let proxy = before_echo();
    let stream = client(&proxy);
    proxy.delay(Direction::ToServer, Duration::from_millis(100));
    (&mut &stream).write_all(b"last words").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    (&mut &stream).read_to_end(&mut back).unwrap();
    assert_eq!(back, b"last words");
    wait_until_true("the connection's end", SECONDS, || proxy.connections() == 0);
}

#[test]
fn a_redirected_proxy_leads_new_connections_elsewhere() {
    let proxy = before_echo();
    let old = client(&proxy);
    there_and_back(&old, b"up");
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.redirect(&elsewhere.local_addr().unwrap().to_string()).unwrap();
    assert_eq!(there_and_back(&old, b"stays").0, b"stays");
    proxy.reset_all();
    assert_eq!((&mut &old).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let new = client(&proxy);
    let (mut there, _) = elsewhere.accept().unwrap();
    there.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    (&mut &new).read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    assert!(proxy.redirect("not an address").is_err());
}
