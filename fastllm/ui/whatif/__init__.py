"""The tab that asks of one recorded token what other settings had done."""
