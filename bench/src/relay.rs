//! The reference: what it costs to take bytes from one socket and put them into another on this machine, one thread,
//! up to 1 MB at a time. A mirror cannot be cheaper than that; how much dearer it is does not depend on the machine as
//! its seconds do. A child process, so that it is measured as the mirror is.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, thread::JoinHandle};

use crate::Result;
use crate::load::Load;
use crate::meter::{Metered, Usage};
use crate::site::Site;

const CHUNK_BYTES: usize = 1_000_000;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(600);

/// The child: everything from one address to another, until there is no more.
pub(crate) fn relay(from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let mut from = TcpStream::connect(from)?;
    let mut to = TcpStream::connect(to)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(()),
            read => to.write_all(&chunk[..read])?,
        }
    }
}

/// Sends the segments of a load through a relay and measures the relay.
///
/// # Errors
/// When not every byte arrived.
pub(crate) fn measure(site: &Site, load: &Load, name: &str) -> Result<Usage> {
    let sending = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let receiving = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addresses = [sending.local_addr()?.to_string(), receiving.local_addr()?.to_string()];
    let arguments = ["relay", &addresses[0], &addresses[1]];
    let child = Metered::start(&env::current_exe()?, &arguments, site.scratch.path(), name)?;
    let files: Vec<PathBuf> = load.segments.iter().map(|segment| segment.path.clone()).collect();
    let sender = thread::spawn(move || send(&sending, &files));
    let receiver = thread::spawn(move || receive(&receiving));
    let (sent, received) = (join(sender)?, join(receiver)?);
    let usage = child.finish(LIMIT)?;
    if sent == received {
        Ok(usage)
    } else {
        Err(format!("the relay took {sent} bytes and gave {received}").into())
    }
}

fn join(thread: JoinHandle<io::Result<u64>>) -> Result<u64> {
    Ok(thread.join().map_err(|_| "a thread beside the relay panicked")??)
}

fn send(listener: &TcpListener, files: &[PathBuf]) -> io::Result<u64> {
    let mut socket = accept(listener)?;
    let mut sent = 0;
    for file in files {
        sent += io::copy(&mut File::open(file)?, &mut socket)?;
    }
    socket.shutdown(Shutdown::Write)?;
    Ok(sent)
}

fn receive(listener: &TcpListener) -> io::Result<u64> {
    let mut socket = accept(listener)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut received = 0;
    loop {
        match socket.read(&mut chunk)? {
            0 => return Ok(received),
            read => received += read as u64,
        }
    }
}

/// Within bounds: a relay that died does not connect.
fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + CONNECT_LIMIT;
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false)?;
                socket.set_read_timeout(Some(SILENCE_LIMIT))?;
                socket.set_write_timeout(Some(SILENCE_LIMIT))?;
                return Ok(socket);
            }
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(cause) => return Err(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_passes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bytes");
        std::fs::write(&file, vec![7; 2_500_001]).unwrap();
        let [sending, receiving] = [0; 2].map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
        let (from, to) = (sending.local_addr().unwrap(), receiving.local_addr().unwrap());
        let relaying = thread::spawn(move || relay(from, to));
        let files = [file.clone(), file];
        let sender = thread::spawn(move || send(&sending, &files));
        assert_eq!(receive(&receiving).unwrap(), 5_000_002);
        assert_eq!(sender.join().unwrap().unwrap(), 5_000_002);
        relaying.join().unwrap().unwrap();
    }
}
