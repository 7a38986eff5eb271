"""The program on the classroom PC: measures, keeps, sends."""
