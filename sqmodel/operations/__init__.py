"""What the lender did: working time, events, standards, complaints, warnings, staff, and a monitor of key nodes."""
