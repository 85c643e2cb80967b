//! A connection against scripted brokers: order, poisoning, deadlines, versions, and ports that are no Kafka.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Buf;
use kafka_protocol::messages::{
    ApiVersionsResponse, DeleteRecordsRequest, DeleteRecordsResponse, InitProducerIdRequest,
    InitProducerIdResponse,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::dial::Tcp;
use crate::error::ConnectFault;
use crate::fake::{Fake, Peer, all_we_speak, settings};

const SECOND: Duration = Duration::from_secs(1);

async fn open(fake: &Fake) -> Result<Connection, Error> {
    Connection::open(&Tcp::default(), fake.address.clone(), &fake.settings()).await
}

async fn fault(fake: &Fake) -> ConnectFault {
    match open(fake).await {
        Err(Error::Connect { fault, address }) => {
            assert_eq!(address, fake.address);
            fault
        }
        other => panic!("expected a failed connect, got {other:?}"),
    }
}

async fn init(connection: &Connection, timeout: Duration) -> Result<InitProducerIdResponse, Error> {
    let version = connection.version(Api::InitProducerId)?;
    let request = InitProducerIdRequest::default().with_transactional_id(None);
    connection.call(Api::InitProducerId, version, &request, timeout).await
}

async fn submit(connection: &Connection, number: i32) -> Pending {
    let version = connection.version(Api::DeleteRecords).unwrap();
    let request = DeleteRecordsRequest::default().with_timeout_ms(number);
    let body = connection.encode(Api::DeleteRecords, version, &request).unwrap();
    connection.submit(Api::DeleteRecords, version, vec![body], SECOND).await.unwrap()
}

fn cause(error: Error) -> Arc<Loss> {
    match error {
        Error::Closed { cause, .. } => cause,
        other => panic!("expected a lost connection, got {other:?}"),
    }
}

#[tokio::test]
async fn requests_reach_the_wire_in_order_and_answers_find_their_waiters() {
    let fake = Fake::start(|mut peer, _| async move {
        peer.greet().await;
        // All requests are on the wire before the first answer: a pipeline, not a ping-pong.
        let mut asked = Vec::new();
        for number in 0..20 {
            let request = peer.read().await.unwrap();
            // topics (compact, empty), timeout
            assert_eq!(request.body.slice(1..).get_i32(), number);
            asked.push(request);
        }
        for (number, request) in asked.iter().enumerate() {
            let answer = DeleteRecordsResponse::default().with_throttle_time_ms(number as i32);
            peer.answer(request, &answer).await;
        }
        peer.read().await;
    })
    .await;
    let connection = open(&fake).await.unwrap();
    let mut waiting = Vec::new();
    for number in 0..20 {
        waiting.push(submit(&connection, number).await);
    }
    // Awaited out of order: each still gets its own.
    for (number, pending) in waiting.into_iter().enumerate().rev() {
        let answer: DeleteRecordsResponse = pending.decoded().await.unwrap();
        assert_eq!(answer.throttle_time_ms, number as i32);
    }
    assert!(connection.is_open());
}

#[tokio::test]
async fn a_discarded_waiter_does_not_disturb_the_next() {
    let fake = Fake::start(|mut peer, _| async move {
        peer.greet().await;
        for number in 0..2 {
            let request = peer.read().await.unwrap();
            peer.answer(&request, &DeleteRecordsResponse::default().with_throttle_time_ms(number)).await;
        }
        peer.read().await;
    })
    .await;
    let connection = open(&fake).await.unwrap();
    drop(submit(&connection, 0).await);
    let answer: DeleteRecordsResponse = submit(&connection, 1).await.decoded().await.unwrap();
    assert_eq!(answer.throttle_time_ms, 1);
}

#[tokio::test]
async fn a_wrong_correlation_id_poisons_and_all_waiters_get_the_cause() {
    let fake = Fake::start(|mut peer, _| async move {
        peer.greet().await;
        let mut request = peer.read().await.unwrap();
        peer.read().await.unwrap();
        request.correlation += 1;
        peer.answer(&request, &DeleteRecordsResponse::default()).await;
        peer.read().await;
    })
    .await;
    let connection = open(&fake).await.unwrap();
    let (first, second) = (submit(&connection, 0).await, submit(&connection, 1).await);
    let first = cause(first.decoded::<DeleteRecordsResponse>().await.unwrap_err());
    let second = cause(second.decoded::<DeleteRecordsResponse>().await.unwrap_err());
    assert!(matches!(&*first, Loss::OutOfOrder { .. }), "{first}");
    assert!(Arc::ptr_eq(&first, &second));
    assert!(!connection.is_open());
    assert!(Arc::ptr_eq(&cause(init(&connection, SECOND).await.unwrap_err()), &first));
}

#[tokio::test]
async fn an_answer_nobody_asked_for_poisons() {
    let fake = Fake::start(|mut peer, _| async move {
        peer.greet().await;
        peer.frame(&[0, 0, 0, 7]).await;
        peer.read().await;
    })
    .await;
    let connection = open(&fake).await.unwrap();
    assert!(matches!(&*cause(connection.closed().await), Loss::Unasked));
}

#[tokio::test]
async fn a_longer_answer_than_its_request_allows_poisons_before_it_is_read() {
    // A greeting, an answer of control, and the most that a fetch can be answered with.
    let fake = Fake::start(|mut peer, number| async move {
        if number > 0 {
            peer.greet().await;
        }
        peer.read().await;
        peer.stream.write_i32([(1 << 20) + 1, (32 << 20) + 1][number.min(1)]).await.unwrap();
        peer.read().await;
    })
    .await;
    let ConnectFault::NotKafka { why } = fault(&fake).await else { panic!("a greeting of a MiB") };
    assert!(why.contains("1048577 bytes is outside 4 to 1048576"), "{why}");
    let connection = open(&fake).await.unwrap();
    let cause = cause(init(&connection, SECOND).await.unwrap_err());
    assert!(matches!(&*cause, Loss::FrameLength { claimed: 33_554_433, max: 33_554_432 }), "{cause}");
    // Small fetches leave room for one large batch, large ones for what they ask.
    let longest = |asked| connection.answer_bytes_max(Api::Fetch, asked);
    assert_eq!([longest(0), longest(100 << 20), longest(usize::MAX)], [101 << 20, 150 << 20, 256 << 20]);
}

#[tokio::test]
async fn a_frame_length_outside_the_bounds_poisons() {
    for claimed in [-1i32, 0, 3, i32::MAX, (256 << 20) + 1] {
        let fake = Fake::start(move |mut peer, _| async move {
            peer.greet().await;
            peer.read().await;
            peer.stream.write_i32(claimed).await.unwrap();
            peer.read().await;
        })
        .await;
        let connection = open(&fake).await.unwrap();
        let cause = cause(init(&connection, SECOND).await.unwrap_err());
        assert!(matches!(&*cause, Loss::FrameLength { claimed: found, .. } if *found == claimed), "{cause}");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_poisons() {
    let fake = Fake::start(|mut peer, _| async move {
        peer.greet().await;
        let request = peer.read().await.unwrap();
        let mut frame = request.correlation.to_be_bytes().to_vec();
        frame.extend_from_slice(&[0, 1, 2, 3]);
        peer.frame(&frame).await;
        peer.read().await;
    })
    .await;
    let connection = open(&fake).await.unwrap();
    let cause = cause(init(&connection, SECOND).await.unwrap_err());
    assert!(matches!(&*cause, Loss::Undecodable { api: Api::InitProducerId, .. }), "{cause}");
    assert!(!connection.is_open());
}

#[tokio::test]
async fn a_closed_connection_tells_its_waiters() {
    let fake = Fake::start(|mut peer, _| async move {
        peer.greet().await;
        peer.read().await;
    })
    .await;
    let connection = open(&fake).await.unwrap();
    let cause = cause(init(&connection, SECOND).await.unwrap_err());
    assert!(matches!(&*cause, Loss::ClosedByPeer), "{cause}");
    assert!(matches!(connection.closed().await, Error::Closed { .. }));
}

#[tokio::test]
async fn an_expired_request_is_a_timeout_and_poisons() {
    let fake = Fake::start(|mut peer, _| async move {
        peer.greet().await;
        while peer.read().await.is_some() {}
    })
    .await;
    let connection = open(&fake).await.unwrap();
    let other = submit(&connection, 0).await;
    let error = init(&connection, Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { api: Api::InitProducerId, .. }), "{error}");
    let cause = cause(other.decoded::<DeleteRecordsResponse>().await.unwrap_err());
    assert!(matches!(&*cause, Loss::Expired { .. }), "{cause}");
}

#[tokio::test]
async fn a_broker_that_reads_nothing_cannot_hold_the_caller_beyond_the_deadline() {
    let fake = Fake::start(|mut peer, _| async move {
        peer.greet().await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        drop(peer);
    })
    .await;
    let connection = open(&fake).await.unwrap();
    let block = Bytes::from(vec![0u8; 32 << 20]);
    let version = connection.version(Api::Produce).unwrap();
    let mut waiting = Vec::new();
    let error = loop {
        let timeout = Duration::from_millis(200);
        match connection.submit(Api::Produce, version, vec![block.clone()], timeout).await {
            Ok(pending) => waiting.push(pending),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    // The queue, what the writer holds, and no more.
    assert!(waiting.len() <= OUTGOING_MAX + 16 + 1, "{} requests were queued", waiting.len());
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_socket() {
    let closed = Arc::new(tokio::sync::Notify::new());
    let tell = Arc::clone(&closed);
    let fake = Fake::start(move |mut peer, _| {
        let tell = Arc::clone(&tell);
        async move {
            peer.greet().await;
            assert!(peer.read().await.is_none());
            tell.notify_one();
        }
    })
    .await;
    let connection = open(&fake).await.unwrap();
    let second = connection.clone();
    drop(connection);
    assert!(second.is_open());
    drop(second);
    tokio::time::timeout(SECOND, closed.notified()).await.expect("the broker should see the end");
}

#[tokio::test]
async fn v0_follows_where_v3_is_refused() {
    let fake = Fake::start(|mut peer, _| async move {
        let mut asked = peer.read().await.unwrap();
        assert_eq!(asked.version, 3);
        // A refusal comes in the shape of v0.
        asked.version = 0;
        peer.answer(&asked, &ApiVersionsResponse::default().with_error_code(35)).await;
        let asked = peer.read().await.unwrap();
        assert_eq!(asked.version, 0);
        peer.answer(&asked, &all_we_speak()).await;
        peer.read().await;
    })
    .await;
    let connection = open(&fake).await.unwrap();
    assert_eq!(connection.version(Api::Fetch).unwrap(), 16);
    assert_eq!(fake.dials.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn v0_follows_on_a_new_connection_where_the_broker_hangs_up_on_v3() {
    let fake = Fake::start(|mut peer, number| async move {
        let asked = peer.read().await.unwrap();
        assert_eq!(asked.version, if number == 0 { 3 } else { 0 });
        if number > 0 {
            peer.answer(&asked, &all_we_speak()).await;
            peer.read().await;
        }
    })
    .await;
    assert!(open(&fake).await.unwrap().is_open());
    assert_eq!(fake.dials.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_api_the_broker_lacks_is_named_with_both_ranges() {
    let fake = Fake::start(|mut peer, _| async move {
        let asked = peer.read().await.unwrap();
        let mut offered = all_we_speak();
        offered.api_keys.retain(|api| api.api_key != Api::DescribeProducers.key());
        for api in offered.api_keys.iter_mut().filter(|api| api.api_key == Api::Fetch.key()) {
            api.max_version = 3;
            api.min_version = 0;
        }
        peer.answer(&asked, &offered).await;
        peer.read().await;
    })
    .await;
    let connection = open(&fake).await.unwrap();
    let error = connection.version(Api::DescribeProducers).unwrap_err();
    assert!(matches!(error, Error::Unsupported { broker: None, .. }), "{error}");
    let error = connection.version(Api::Fetch).unwrap_err().to_string();
    assert!(error.contains("Fetch: v4 to v16 needed, v0 to v3 offered"), "{error}");
}

/// A port that answers the first bytes with `bytes` and closes.
async fn port_that_says(bytes: &'static [u8]) -> Fake {
    Fake::start(move |mut peer: Peer, _| async move {
        let mut some = [0; 4];
        let _ = peer.stream.read_exact(&mut some).await;
        let _ = peer.stream.write_all(bytes).await;
        // Unread input would turn the close into a reset; real servers read what they refuse.
        let _ = peer.stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = peer.stream.read_to_end(&mut rest).await;
    })
    .await
}

#[tokio::test]
async fn ports_of_other_protocols_are_named() {
    let alert = port_that_says(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46]).await;
    assert!(matches!(fault(&alert).await, ConnectFault::SpeaksTls));
    let http = port_that_says(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(matches!(fault(&http).await, ConnectFault::SpeaksHttp));
    let ssh = port_that_says(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    assert!(matches!(fault(&ssh).await, ConnectFault::NotKafka { .. }));
    let silent_close = port_that_says(b"").await;
    assert!(matches!(fault(&silent_close).await, ConnectFault::ClosedEarly));
    let message = open(&alert).await.unwrap_err().to_string();
    assert!(message.contains("this port speaks TLS"), "{message}");
}

#[tokio::test]
async fn a_port_that_never_answers_is_silent() {
    let fake = Fake::start(|mut peer, _| async move { while peer.read().await.is_some() {} }).await;
    assert!(matches!(fault(&fake).await, ConnectFault::Silent { .. }));
}

#[tokio::test]
async fn refused_and_unknown_are_told_apart() {
    let free = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let open = async |host: &str, port| {
        let at = HostPort::new(host, port);
        Connection::open(&Tcp::default(), at, &settings("unused:1")).await.unwrap_err()
    };
    let error = open("127.0.0.1", free).await;
    assert!(matches!(error, Error::Connect { fault: ConnectFault::Refused, .. }), "{error}");
    let error = open("no-such-host.invalid", 9092).await;
    // Without a name service at all the look-up may take longer than a test's patience.
    let unknown = ConnectFault::UnknownHost { detail: String::new() };
    match &error {
        Error::Connect { fault: ConnectFault::TimedOut { .. }, .. } => {}
        Error::Connect { fault, .. } => {
            assert_eq!(std::mem::discriminant(fault), std::mem::discriminant(&unknown), "{error}");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn many_segments_arrive_whole() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    let fake = Fake::start(|mut peer, _| async move {
        peer.greet().await;
        let request = peer.read().await.unwrap();
        SEEN.store(request.body.len(), Ordering::SeqCst);
        assert!(request.body.iter().enumerate().all(|(at, byte)| *byte == (at / 1000) as u8));
        peer.answer(&request, &DeleteRecordsResponse::default()).await;
        peer.read().await;
    })
    .await;
    let connection = open(&fake).await.unwrap();
    let mut head = BytesMut::new();
    let version = connection.version(Api::DeleteRecords).unwrap();
    connection.put_header(&mut head, Api::DeleteRecords, version);
    let mut segments = vec![head.freeze(), Bytes::new()];
    segments.extend((0..3_000).map(|number| Bytes::from(vec![number as u8; 1_000])));
    let pending = connection.submit(Api::DeleteRecords, version, segments, SECOND * 5).await.unwrap();
    pending.decoded::<DeleteRecordsResponse>().await.unwrap();
    assert_eq!(SEEN.load(Ordering::SeqCst), 3_000_000);
}

/// A password in a file of its own.
fn plain_login(folder: &tempfile::TempDir) -> crate::Security {
    use lockstep_core::spec::security::{LoginSpec, SecretSpec, SecuritySpec};
    let path = folder.path().join("password");
    std::fs::write(&path, "pw").unwrap();
    let login = LoginSpec::Plain { username: "dr".to_owned(), password: SecretSpec::File(path) };
    crate::Security::resolve(&SecuritySpec { tls: None, login: Some(login) }).unwrap()
}

/// Answers a login; `lifetime_ms`: of the session.
async fn grant(peer: &mut Peer, lifetime_ms: i64) -> Option<()> {
    use kafka_protocol::messages::{
        SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeResponse,
    };
    use kafka_protocol::protocol::Decodable;
    let handshake = peer.read().await?;
    assert_eq!((handshake.key, handshake.version), (17, 1));
    peer.answer(&handshake, &SaslHandshakeResponse::default()).await;
    let asked = peer.read().await?;
    assert_eq!(asked.key, 36, "nothing may come between the two");
    let request = SaslAuthenticateRequest::decode(&mut asked.body.clone(), asked.version).unwrap();
    assert_eq!(&request.auth_bytes[..], b"\0dr\0pw");
    peer.answer(&asked, &SaslAuthenticateResponse::default().with_session_lifetime_ms(lifetime_ms)).await;
    Some(())
}

#[tokio::test]
async fn a_session_is_renewed_between_requests_that_keep_their_order() {
    use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};
    use kafka_protocol::protocol::Decodable;
    let (tell, mut renewed) = tokio::sync::mpsc::channel(64);
    let fake = Fake::start(move |mut peer, _| {
        let tell = tell.clone();
        async move {
            if peer.greet().await.is_none() || grant(&mut peer, 1_500).await.is_none() {
                return;
            }
            let (mut last, mut logins) = (0, 0);
            while let Some(asked) = peer.read().await {
                if asked.key == 17 {
                    let handshake = kafka_protocol::messages::SaslHandshakeResponse::default();
                    peer.answer(&asked, &handshake).await;
                    let asked = peer.read().await.unwrap();
                    assert_eq!(asked.key, 36, "while a login is under way nothing else is sent");
                    let granted = kafka_protocol::messages::SaslAuthenticateResponse::default();
                    peer.answer(&asked, &granted.with_session_lifetime_ms(1_500)).await;
                    logins += 1;
                    tell.try_send(logins).unwrap();
                    continue;
                }
                let request =
                    ListTransactionsRequest::decode(&mut asked.body.clone(), asked.version).unwrap();
                let number = request.producer_id_filters[0].0;
                assert_eq!(number, last + 1, "in the order submitted");
                last = number;
                peer.answer(&asked, &ListTransactionsResponse::default()).await;
            }
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = fake.settings();
    settings.security = plain_login(&folder);
    let connection = Connection::open(&Tcp::default(), fake.address.clone(), &settings).await.unwrap();
    let mut number = 0;
    loop {
        let mut pending = Vec::new();
        for _ in 0..20 {
            number += 1;
            let mut request = ListTransactionsRequest::default();
            request.producer_id_filters = vec![number.into()];
            let body = connection.encode(Api::ListTransactions, 0, &request).unwrap();
            let patience = Duration::from_secs(5);
            pending.push(connection.submit(Api::ListTransactions, 0, vec![body], patience).await.unwrap());
        }
        for each in pending {
            each.decoded::<ListTransactionsResponse>().await.unwrap();
        }
        if renewed.try_recv() == Ok(2) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(connection.is_open() && number > 100, "{number} requests");
}

#[tokio::test]
async fn refusals_of_a_login_are_told_apart() {
    use kafka_protocol::messages::{SaslAuthenticateResponse, SaslHandshakeResponse};
    use kafka_protocol::protocol::StrBytes;
    let folder = tempfile::tempdir().unwrap();
    for (refusal, page) in [(33, "L-121"), (34, "L-122"), (58, "L-120")] {
        let fake = Fake::start(move |mut peer, _| async move {
            if peer.greet().await.is_none() {
                return;
            }
            let asked = peer.read().await.unwrap();
            let mut handshake = SaslHandshakeResponse::default();
            if refusal != 58 {
                handshake.error_code = refusal;
                handshake.mechanisms = vec![StrBytes::from_static_str("GSSAPI")];
            }
            peer.answer(&asked, &handshake).await;
            if let Some(asked) = peer.read().await {
                peer.answer(&asked, &SaslAuthenticateResponse::default().with_error_code(58)).await;
            }
        })
        .await;
        let mut settings = fake.settings();
        settings.security = plain_login(&folder);
        let error = Connection::open(&Tcp::default(), fake.address.clone(), &settings).await.unwrap_err();
        assert_eq!(error.page().unwrap().to_string(), page, "{error}");
        assert!(!format!("{error} {error:?} {settings:?}").contains("pw"), "{error:?}");
    }
}
