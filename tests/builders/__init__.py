"""What tests are made from: small networks, frames and configurations."""
