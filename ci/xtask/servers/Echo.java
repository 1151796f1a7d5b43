import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;

/** A server that answers each line with "echo " and the line, a thread each, while another makes garbage. */
public class Echo {
    static volatile byte[] garbage;

    public static void main(String[] arguments) throws IOException {
        ServerSocket listener =
                new ServerSocket(Integer.parseInt(arguments[0]), 10, InetAddress.getByName("127.0.0.1"));
        new Thread(Echo::litter).start();
        while (true) {
            Socket connection = listener.accept();
            new Thread(() -> answer(connection)).start();
        }
    }

    /** A gigabyte a second: the collector always has something to do. */
    static void litter() {
        try {
            while (true) {
                garbage = new byte[1 << 20];
                Thread.sleep(1);
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    static void answer(Socket connection) {
        try (connection) {
            BufferedReader lines = new BufferedReader(new InputStreamReader(connection.getInputStream()));
            OutputStream output = connection.getOutputStream();
            for (String line; (line = lines.readLine()) != null;) {
                output.write(("echo " + line + "\n").getBytes());
            }
        } catch (IOException e) {
            e.printStackTrace();
        }
    }
}
