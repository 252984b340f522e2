//! What every codec that packs payloads has to pass, as a macro that becomes the codec's own tests. The
//! form around the payload has tests here; a plugin adds its packed bytes and what must be refused.

/// Tests of the codec `$codec`, whose configuration has `threshold_bytes`: what is packed and what is not,
/// any envelope there and back, garbage. `$packed` is the sample with a payload of twenty times `a`,
/// packed by hand: pinned for ever, since the two ends may run different versions of the plugin. `$bent`
/// are bytes that must be refused, for `$reason`.
#[macro_export]
macro_rules! trials {
    ($codec:ty, packed: $packed:expr, refused: $reason:literal for [$($bent:expr),* $(,)?]) => {
        /// More than any test unpacks.
        const LIMIT: usize = 4 << 20;
        /// Where the length before packing stands in the packed bytes.
        const LENGTH_AT: usize = 24;

        const SAMPLE: Envelope<'static> = Envelope {
            destination: 0x0102_0304_0506_0708,
            source: 0x1112_1314_1516_1718,
            kind: 2,
            flags: 5,
            epoch: 300,
            correlation: 7,
            metadata: b"mm",
            payload: b"ppp",
        };

        fn instance(threshold_bytes: usize) -> CodecInstance {
            let config = format!(r#"{{"threshold_bytes": {threshold_bytes}}}"#);
            CodecInstance::of::<$codec>(&config).unwrap()
        }

        fn encode(codec: &CodecInstance, envelope: &Envelope<'_>) -> Vec<u8> {
            let mut bytes = Vec::new();
            codec.encode_into(envelope, &mut bytes, LIMIT).unwrap();
            bytes
        }

        /// Hands what was decoded to `check`.
        fn decode<R>(
            bytes: &[u8],
            check: impl FnOnce(Envelope<'_>) -> R,
        ) -> Result<R, DecodeError> {
            let mut scratch = Vec::new();
            let decoded = instance(0).decode(bytes, &mut scratch, LIMIT)?;
            Ok(check(decoded.envelope(bytes, &scratch)))
        }

        /// The pinned bytes with another one at a place.
        fn bent(at: usize, byte: u8) -> Vec<u8> {
            let mut bytes = $packed.to_vec();
            bytes[at] = byte;
            bytes
        }

        #[test]
        fn the_bytes_never_change() {
            let twenty = Envelope { payload: &[b'a'; 20], ..SAMPLE };
            assert_eq!(decode(&$packed, |envelope| envelope == twenty), Ok(true));
        }

        #[test]
        fn what_is_packed_and_what_is_not() {
            let mut state = 1u64;
            let noise: Vec<u8> = std::iter::repeat_with(|| {
                // Marsaglia's xorshift.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .take(5000)
            .collect();
            let text = b"the same again and ".repeat(300);
            let cases: [(&str, usize, &[u8], bool); 6] = [
                ("below the threshold", 6000, &text, false),
                ("at the threshold", text.len(), &text, true),
                ("text", 512, &text, true),
                ("noise", 512, &noise, false),
                ("nothing", 0, &[], false),
                ("too little to gain", 0, b"abc", false),
            ];
            for (what, threshold, payload, packed) in cases {
                let bytes = encode(&instance(threshold), &Envelope { payload, ..SAMPLE });
                assert_eq!(bytes[1] == 1, packed, "{what}");
                assert_eq!(bytes.len() < payload.len(), packed, "{what}: {} bytes", bytes.len());
                assert!(bytes.len() < payload.len() + 30, "{what}: {} bytes", bytes.len());
                let same = decode(&bytes, |envelope| envelope.payload == payload);
                assert_eq!(same, Ok(true), "{what}");
            }
        }

        #[test]
        fn what_is_refused_and_why() {
            let whole = &$packed[..];
            let (cut, longer) = (whole[..whole.len() - 1].to_vec(), [whole, &[0]].concat());
            let lengths = [bent(LENGTH_AT, 19), bent(LENGTH_AT, 21)];
            for bytes in lengths.into_iter().chain([cut, longer, $($bent),*]) {
                let error = decode(&bytes, |envelope| format!("{envelope:?}")).unwrap_err();
                assert!(matches!(error, DecodeError::Malformed(_)), "{error:?} for {bytes:?}");
                assert!(error.to_string().contains($reason), "{error} for {bytes:?}");
            }
        }

        /// A packed body that claims to be `len` long.
        fn claim(len: u64, body: &[u8]) -> Vec<u8> {
            let mut bytes = $packed[..LENGTH_AT].to_vec();
            let mut rest = len;
            while rest >= 0x80 {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
            [&bytes, &b"mm"[..], body].concat()
        }

        proptest! {
            #[test]
            fn any_envelope_survives(
                numbers in any::<(u64, u64, u8, u32, u64, u64)>(),
                metadata in prop::collection::vec(any::<u8>(), 0..300),
                run in prop::collection::vec(any::<u8>(), 1..40),
                repeated in 0usize..2000,
                noise in prop::collection::vec(any::<u8>(), 0..1000),
                threshold in 0usize..3000,
            ) {
                let payload = [run.repeat(repeated), noise].concat();
                let (destination, source, kind, flags, epoch, correlation) = numbers;
                let envelope = Envelope {
                    destination, source, kind, flags, epoch, correlation,
                    metadata: &metadata, payload: &payload,
                };
                let bytes = encode(&instance(threshold), &envelope);
                prop_assert_eq!(decode(&bytes, |decoded| decoded == envelope), Ok(true));
                prop_assert!(bytes.len() <= 60 + metadata.len() + payload.len());
            }

            /// Bent packed bodies: refused, or something of exactly the claimed length.
            #[test]
            fn garbage_is_refused_or_has_the_length_that_it_claims(
                body in prop::collection::vec(any::<u8>(), 0..100),
                len in 0u64..100_000,
            ) {
                if let Ok(got) = decode(&claim(len, &body), |envelope| envelope.payload.len()) {
                    prop_assert_eq!(got as u64, len);
                }
            }
        }
    };
}
