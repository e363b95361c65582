"""The pages of wallets: Coins, their transactions, applications of what is over a limit, and organizations' cards."""
