"""What `TTSChatModel` is made of: calls, messages, tools, streams."""
