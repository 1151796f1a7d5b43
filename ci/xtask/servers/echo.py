"""An asyncio server that answers each line with "echo " and the line, after a moment, so that timers are pending."""

import asyncio
import sys


async def answer(reader, writer):
    while line := await reader.readline():
        await asyncio.sleep(0.001)
        writer.write(b"echo " + line)
        await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()


asyncio.run(main())
