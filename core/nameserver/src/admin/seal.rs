//! What each end of an admin connection proves to the other. Every proof is
//!
//! `HMAC-SHA256(token, "skymesh admin 1" | speaker | operator's nonce | nameserver's nonce | number | text)`
//!
//! with the speaker as one byte, nonces of 32 bytes and the number as 8 bytes, big-endian. The
//! number counts requests from 1, a reply has that of its request, and 0 is the challenge, whose
//! text is empty. All but the text have fixed lengths, so no two proofs are of the same bytes.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Token;

/// Bytes of a nonce.
const NONCE_BYTES: usize = 32;

const CONTEXT: &[u8] = b"skymesh admin 1";

/// A random number that nobody has seen before.
pub(super) type Nonce = [u8; NONCE_BYTES];

/// Who proves something; without it one end could give the other its own proof back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Speaker {
    Nameserver = 1,
    Operator = 2,
}

/// The proofs of one connection.
#[derive(Debug)]
pub(super) struct Seal {
    token: Token,
    operator: Nonce,
    nameserver: Nonce,
}

impl Seal {
    pub(super) const fn new(token: Token, operator: Nonce, nameserver: Nonce) -> Self {
        Self { token, operator, nameserver }
    }

    fn mac(&self, speaker: Speaker, number: u64, text: &[u8]) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(self.token.bytes())
            .expect("invariant: HMAC takes keys of any length")
            .chain_update(CONTEXT)
            .chain_update([speaker as u8])
            .chain_update(self.operator)
            .chain_update(self.nameserver)
            .chain_update(number.to_be_bytes())
            .chain_update(text)
    }

    pub(super) fn proof(&self, speaker: Speaker, number: u64, text: &[u8]) -> Vec<u8> {
        self.mac(speaker, number, text).finalize().into_bytes().to_vec()
    }

    /// Takes the same time wherever a wrong proof differs.
    pub(super) fn is_proof(
        &self,
        proof: &[u8],
        speaker: Speaker,
        number: u64,
        text: &[u8],
    ) -> bool {
        self.mac(speaker, number, text).verify_slice(proof).is_ok()
    }
}

pub(super) fn nonce() -> Result<Nonce, getrandom::Error> {
    let mut nonce = Nonce::default();
    getrandom::fill(&mut nonce)?;
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(folder: &tempfile::TempDir, text: &str) -> Token {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join("token");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        Token::read(&path).unwrap()
    }

    #[test]
    fn a_proof_is_of_everything_that_goes_in() {
        let folder = tempfile::tempdir().unwrap();
        let token_a = token(&folder, "0123456789abcdef0123456789abcdef");
        let token_b = token(&folder, "0123456789abcdef0123456789abcdeF");
        let seal = Seal::new(token_a.clone(), [1; 32], [2; 32]);
        let proof = seal.proof(Speaker::Operator, 7, b"text");
        let holds = |seal: &Seal, speaker, number, text: &[u8]| {
            seal.is_proof(&proof, speaker, number, text)
        };
        assert!(holds(&seal, Speaker::Operator, 7, b"text"));
        assert!(!holds(&seal, Speaker::Nameserver, 7, b"text"));
        assert!(!holds(&seal, Speaker::Operator, 8, b"text"));
        assert!(!holds(&seal, Speaker::Operator, 7, b"tex"));
        let others = [
            Seal::new(token_b, [1; 32], [2; 32]),
            Seal::new(token_a.clone(), [3; 32], [2; 32]),
            Seal::new(token_a, [1; 32], [3; 32]),
        ];
        for other in &others {
            assert!(!holds(other, Speaker::Operator, 7, b"text"));
        }
        assert!(!seal.is_proof(&proof[..31], Speaker::Operator, 7, b"text"), "cut off");
        assert!(!seal.is_proof(b"", Speaker::Operator, 7, b"text"));
    }
}
