"""The payment provider of demos and tests: an HTTP service of its own with test cards, a journal and faults on request.

It imports nothing else of payadmin and shares no process with it, so that it survives the death of workers and its
journal, not the application, says what was captured. Anything that speaks the same protocol can take its place:

    POST /v1/charges   {amount, currency, token, reference, metadata}   200, 202 pending, 402 card_declined
    POST /v1/refunds   {charge, amount, reference}                      200, 202 pending, 400 amount_too_large ...
    POST /v1/voids     {charge, reference}                              200, 400 not_voidable
    POST /v1/tokens    {cards: [number, ...]}                           200 {data: [{token} or {error}, ...]}
    GET  /v1/charges?reference=R    GET /v1/charges/<id>    GET /v1/refunds?reference=R    GET /v1/voids?reference=R
    GET  /_ctl/config    POST /_ctl/config {setting: value}    POST /_ctl/script {reference, faults}
    GET  /_ctl/ledger    GET /_ctl/stats    POST /_ctl/reset

Amounts are integers of minor units. A POST may carry an Idempotency-Key: with the same body it answers what it
answered, with another body 400 `idempotency_key_reused`, while the first is in progress 409. Any POST may meet 429 or
5xx. Look-ups list what moved money or may still do so; a declined charge is not listed. A token is drawn by chance and
says nothing about its number; the simulator remembers neither, so every token it did not mark is as good as a card.
"""

from payadmin.simulator.door import serve
from payadmin.simulator.opening import OpeningCharge, write_opening

__all__ = ["OpeningCharge", "serve", "write_opening"]
